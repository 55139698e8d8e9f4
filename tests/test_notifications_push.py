"""Push: sealed for one browser, to push services only, and to nobody who logged out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from server.core.settings import Settings
from server.notifications import (
    BrowserKeys,
    WrongKeys,
    base64url,
    is_public,
    is_push_service,
    own_key,
    point_of,
    seal_for,
    unbase64,
)
from tests.conftest import PASSWORD
from tests.house import Cast, Client, House, open_house_of
from tests.outside import PushService
from tests.test_letters import ALL_DONE

NEWS = "select state, error from notifications where channel = 'push' and state <> 'queued' order by id"


def test_a_message_is_sealed_as_the_example_of_rfc_8291() -> None:
    """Section 5 and appendix A of RFC 8291."""
    browser = BrowserKeys.read(
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "BTBZMqHH6r4Tts7J_aSIgg",
    )
    key = own_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")
    body = seal_for(
        browser, b"When I grow up, I want to be a watermelon", salt=unbase64("DGv6ra1nlYgDCS1FRnbzlw"), key=key
    )
    assert base64url(point_of(key)) == (
        "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8"
    )
    assert base64url(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3"
        "jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        ("", "BTBZMqHH6r4Tts7J_aSIgg"),
        ("BCVxsr7N", "BTBZMqHH6r4Tts7J_aSIgg"),
        ("B" + "A" * 86, "BTBZMqHH6r4Tts7J_aSIgg"),
        ("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "BTBZ"),
    ],
)
def test_keys_that_are_none_are_refused(p256dh: str, auth: str) -> None:
    with pytest.raises(WrongKeys):
        BrowserKeys.read(p256dh, auth)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1", "0.0.0.0", "224.0.0.1", "name"],
)
def test_an_address_of_our_own_network_is_not_public(address: str) -> None:
    assert not is_public(address)
    assert is_public("142.250.1.1")


REFUSED = [
    "http://fcm.googleapis.com/fcm/send/x",
    "https://fcm.googleapis.com:8443/x",
    "https://fcm.googleapis.com.example.org/x",
    "https://evil-fcm.googleapis.com.example.org/x",
    "https://notfcm.googleapis.com/x",
    "https://user:secret@fcm.googleapis.com/x",
    "https://fcm.googleapis.com/x#y",
    "https://example.org/push",
    "https://127.0.0.1/push",
    "https://[::1]/push",
    "https://169.254.169.254/latest/meta-data",
    "https://localhost/push",
    "https://fcm.googleapis.com:99999/x",
    "ftp://fcm.googleapis.com/x",
]


@pytest.mark.parametrize("endpoint", REFUSED)
def test_only_push_services_are_called(services: Any, endpoint: str) -> None:
    settings: Settings = services.settings_of("none")
    assert not is_push_service(endpoint, settings)
    for known in ("fcm.googleapis.com/fcm/send/a", "updates.push.services.mozilla.com/w/a", "web.push.apple.com/a"):
        assert is_push_service(f"https://{known}", settings)


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with PushService() as running:
        yield running


@pytest.fixture
async def told(service: PushService, settings: Settings, owner_url: str) -> AsyncIterator[Cast]:
    """A house that may push to the service of the test."""
    async with open_house_of(service.settings(settings), owner_url) as house:
        yield await Cast.sign_in(house, PASSWORD)


async def subscribed(client: Client, service: PushService, name: str = "one") -> str:
    """Have a client told on a new browser; the device's id."""
    answer = await client.call("POST", "/me/push", service.subscribe(name))
    assert answer.status == 201, answer.text
    return str(answer.json["id"])


async def devices(client: Client) -> list[str]:
    answer = await client.get("/me/push")
    assert answer.status == 200, answer.text
    return [item["id"] for item in answer.json["items"]]


async def outcomes(house: House, count: int = 1) -> list[dict[str, str]]:
    """What became of so many pushes."""
    await house.until(f"select 1 from ({NEWS}) n having count(*) >= {count}")
    return await house.sql(NEWS)


async def test_each_device_is_told_once_where_to_look_and_nothing_of_an_illness(
    told: Cast, service: PushService
) -> None:
    house = told.house
    await subscribed(told.asha, service, "phone")
    await subscribed(told.asha, service, "desk")
    await subscribed(told.vik, service, "vik")
    booked = await told.confirmed(told.asha, told.dr_rao, reason="canary-90cd")
    assert [found["state"] for found in await outcomes(house, 2)] == ["sent", "sent"]
    await house.until(ALL_DONE)
    assert len(service.pushed) == 2
    doctor = (await house.sql("select name, specialty from doctors where id = $1", told.dr_rao.me["doctor_id"]))[0]
    for pushed in service.pushed:
        assert pushed.message["title"] == "Amrutam"
        assert pushed.message["url"] == f"/consultations/{booked['id']}"
        assert "(IST)" in pushed.message["body"]
        for secret in ("canary", doctor["name"], doctor["specialty"]):
            assert secret not in str(pushed.message)
        assert int(pushed.headers["TTL"]) == 86400
        assert pushed.headers["Urgency"] == "normal"
        assert len(pushed.headers["Topic"]) == 32
    assert len({pushed.headers["Topic"] for pushed in service.pushed}) == 1


@pytest.mark.parametrize("gone", [404, 410, 403])
async def test_a_browser_that_took_its_subscription_back_is_forgotten(
    told: Cast, service: PushService, gone: int
) -> None:
    await subscribed(told.asha, service)
    service.answers.append(gone)
    await told.confirmed(told.asha, told.dr_rao)
    assert await outcomes(told.house) == [{"state": "bounced", "error": f"push-{gone}"}]
    assert await devices(told.asha) == []
    # The mail went all the same.
    await told.house.until("select 1 from notifications where channel = 'mail' and state = 'sent'")


async def test_a_push_service_that_is_busy_is_asked_again(told: Cast, service: PushService) -> None:
    await subscribed(told.asha, service)
    service.answers += [429, 503]
    await told.confirmed(told.asha, told.dr_rao)
    for tries in (1, 2):
        await told.house.until("select 1 from dispatches where tries = $1 and due_at is not null", tries)
        await told.house.sql("update dispatches set due_at = now()")
    assert (await outcomes(told.house))[0]["state"] == "sent"
    assert (service.asked, len(service.pushed)) == (3, 1)


async def test_who_logs_out_is_not_told_there_any_more(told: Cast, service: PushService) -> None:
    first = await subscribed(told.asha, service, "here")
    elsewhere = await told.house.log_in("patient1@example.org", PASSWORD)
    second = await subscribed(elsewhere, service, "there")
    assert await devices(elsewhere) == [second, first]
    assert (await elsewhere.post("/auth/logout", key=None)).status == 200
    await told.house.until("select 1 where not exists (select 1 from push_subscriptions where id::text = $1)", second)
    assert await devices(told.asha) == [first]


async def test_a_browser_belongs_to_who_signed_in_last_and_devices_to_nobody_else(
    told: Cast, service: PushService
) -> None:
    browser = service.subscribe("shared")
    mine = (await told.asha.call("POST", "/me/push", browser)).json["id"]
    assert (await told.vik.call("DELETE", f"/me/push/{mine}")).status == 404
    theirs = (await told.vik.call("POST", "/me/push", browser)).json["id"]
    assert await devices(told.asha) == []
    assert await devices(told.vik) == [theirs]
    stored = await told.house.sql("select t::text as row from push_subscriptions t")
    assert all(b"/push/shared".hex() not in row["row"] and "shared" not in row["row"] for row in stored)
    assert (await told.vik.call("DELETE", f"/me/push/{theirs}")).status == 200
    assert await devices(told.vik) == []


async def test_of_many_devices_the_newest_are_told(told: Cast, service: PushService) -> None:
    made = [await subscribed(told.asha, service, f"browser{number}") for number in range(12)]
    assert await devices(told.asha) == made[:1:-1]


async def test_a_subscription_that_leads_elsewhere_is_refused(cast: Cast) -> None:
    keys = PushService().subscribe()["keys"]
    for endpoint in REFUSED:
        answer = await cast.asha.call("POST", "/me/push", {"endpoint": endpoint, "keys": keys})
        assert (answer.status, answer.code) == (422, "endpoint-refused"), endpoint
    good = "https://fcm.googleapis.com/fcm/send/a"
    for wrong in ({"p256dh": "AAAA", "auth": keys["auth"]}, {"p256dh": keys["p256dh"]}, {}, "x"):
        answer = await cast.asha.call("POST", "/me/push", {"endpoint": good, "keys": wrong})
        assert answer.status == 422, wrong
    assert await devices(cast.asha) == []


async def test_who_wants_no_pushes_of_bookings_gets_none(told: Cast, service: PushService) -> None:
    await subscribed(told.asha, service)
    answer = await told.asha.patch("/me", channels={"booking": {"push": False}})
    assert answer.status == 200, answer.text
    await told.confirmed(told.asha, told.dr_rao)
    await told.house.until("select 1 from notifications where channel = 'mail' and state = 'sent'")
    await told.house.until(ALL_DONE)
    assert service.asked == 0


async def test_the_page_offers_it_and_its_worker_may_run(cast: Cast) -> None:
    headers = {"Cookie": f"amrutam_session={cast.asha.token}"}
    stranger = cast.house.stranger()
    worker = await stranger.call("GET", "//push-worker.js")
    assert worker.status == 200
    assert worker.headers["Content-Type"].startswith("text/javascript")
    assert "worker-src 'self'" in worker.headers["Content-Security-Policy"]
    key = (await cast.asha.get("/me/push")).json["key"]
    assert len(unbase64(key)) == 65
    page = await cast.asha.call("GET", "//account/telling", headers=headers)
    assert page.status == 200, page.text
    assert key in page.text
