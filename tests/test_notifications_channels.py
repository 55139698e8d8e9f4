"""By which ways somebody hears of what: their wishes, their quiet, addresses where nobody is, news that is no news."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.house import Cast, Client
from tests.test_letters import ALL_DONE, letter, remind_now
from tests.test_payments_late import expired
from tests.test_payments_refunds import gone_back, report


@pytest.mark.parametrize(("language", "words"), [("en", "no longer kept for you"), ("hi", "रखा नहीं रह गया था")])
async def test_who_paid_too_late_is_told_why_and_where_other_times_are(cast: Cast, language: str, words: str) -> None:
    assert (await cast.asha.patch("/me", language=language)).status == 200
    booked = await expired(cast)
    assert (await cast.vik.post("/consultations", slot_id=booked["slot_id"])).status == 201
    assert (await report(cast, booked["payment"], "payment.captured", "pay_late")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    mail = await letter(cast.house, "refunded:%:mail")
    assert words in mail.text
    free_times = f"/doctors/{cast.dr_sen.me['doctor_id']}"
    assert f"\n{cast.house.settings.public_url}{free_times}\n" in mail.text
    assert (await cast.house.stranger().call("GET", f"//{free_times[1:]}")).status == 200


async def test_money_that_was_paid_twice_comes_back_without_talk_of_other_times(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    assert (await report(cast, booked["payment"], "payment.captured", "pay_second")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    mail = await letter(cast.house, "refunded:%:mail")
    await cast.house.until(ALL_DONE)
    assert "http" not in mail.text
    assert "\n\n\n" not in mail.text


ALL_YES = {
    "reminders": {"mail": True, "sms": True, "push": True},
    "booking": {"mail": True, "sms": True, "push": True},
    "account": {"mail": True, "sms": True, "push": True},
}


async def ways(client: Client) -> dict[str, dict[str, bool]]:
    """By which ways somebody hears of what."""
    answer = await client.get("/me")
    assert answer.status == 200, answer.text
    return dict(answer.json["channels"])


async def test_what_is_named_is_set_and_the_rest_stays(cast: Cast) -> None:
    """Each change merges into what stood, under the newer and the older name of the ways of reminders."""
    me = cast.asha
    assert await ways(me) == ALL_YES
    wanted = {topic: dict(by) for topic, by in ALL_YES.items()}
    changes: list[tuple[dict[str, Any], list[tuple[str, str, bool]]]] = [
        ({"channels": {"booking": {"push": False}}}, [("booking", "push", False)]),
        ({"channels": {"reminders": {"sms": False}, "account": {}}}, [("reminders", "sms", False)]),
        ({"channels": {"account": {"push": False}}}, [("account", "push", False)]),
        ({"channels": {}}, []),
        ({"name": "Asha Rao"}, []),
        ({"reminders": {"mail": False, "sms": False}}, [("reminders", "mail", False)]),
        ({"channels": {"reminders": {"mail": True}}}, [("reminders", "mail", True)]),
        (
            {"channels": {"reminders": {"push": False, "sms": True}}, "reminders": {"mail": True, "sms": True}},
            [("reminders", "push", False), ("reminders", "sms", True)],
        ),
    ]
    for change, came in changes:
        answer = await me.patch("/me", **change)
        assert answer.status == 200, answer.text
        for topic, way, yes in came:
            wanted[topic][way] = yes
        assert answer.json["channels"] == await ways(me) == wanted, change
        assert answer.json["reminders"] == {way: wanted["reminders"][way] for way in ("mail", "sms")}
    assert await ways(cast.vik) == ALL_YES
    assert (await cast.dr_rao.patch("/me", channels={"reminders": {"mail": False}})).status == 200


CANNOT_BE: list[tuple[dict[str, Any], str]] = [
    ({"channels": {"account": {"mail": False}}}, "channels.account.mail"),
    ({"channels": {"booking": {"mail": "no"}}}, "channels.booking.mail"),
    ({"channels": {"booking": {"mail": 0}}}, "channels.booking.mail"),
    ({"channels": {"booking": {"mail": None}}}, "channels.booking.mail"),
    ({"channels": {"booking": {"pigeon": True}}}, "channels.booking.pigeon"),
    ({"channels": {"weather": {"mail": True}}}, "channels.weather"),
    ({"channels": ["booking"]}, "channels"),
    ({"channels": {"reminders": {"sms": True}}, "reminders": {"sms": False}}, "reminders"),
    ({"quiet_hours": {"from": "22:00", "to": "22:00"}}, "quiet_hours"),
    ({"quiet_hours": {"from": "22:00"}}, "quiet_hours.to"),
    ({"quiet_hours": {"from": "24:00", "to": "07:00"}}, "quiet_hours.from"),
    ({"quiet_hours": {"from": "22:60", "to": "07:00"}}, "quiet_hours.from"),
    ({"quiet_hours": {"from": "22:00", "to": "7:00"}}, "quiet_hours.to"),
    ({"quiet_hours": {"from": "२२:००", "to": "07:00"}}, "quiet_hours.from"),
    ({"quiet_hours": {"from": 79200, "to": "07:00"}}, "quiet_hours.from"),
    ({"quiet_hours": {"from": "22:00", "to": "07:00", "zone": "UTC"}}, "quiet_hours.zone"),
    ({"time_zone": "Asia/Atlantis"}, "time_zone"),
]


async def test_a_wish_that_cannot_be_is_named_and_changes_nothing(cast: Cast) -> None:
    before = (await cast.asha.get("/me")).json
    for change, field in CANNOT_BE:
        answer = await cast.asha.patch("/me", name="Somebody Else", **change)
        assert answer.status == 422, (change, answer.text)
        assert field in [error["field"] for error in answer.json["errors"]], (change, answer.text)
    assert (await cast.asha.get("/me")).json == before


async def test_quiet_hours_stay_until_they_are_taken_away(cast: Cast) -> None:
    hours = {"from": "22:00", "to": "06:30"}
    assert (await cast.asha.patch("/me", quiet_hours=hours)).json["quiet_hours"] == hours
    assert (await cast.asha.patch("/me", channels={"booking": {"sms": False}})).json["quiet_hours"] == hours
    assert (await cast.asha.patch("/me", quiet_hours=None)).json["quiet_hours"] is None
    assert (await ways(cast.asha))["booking"]["sms"] is False


async def test_changes_that_come_at_once_do_not_undo_each_other(cast: Cast) -> None:
    """A page in two tabs, each with a box of its own."""
    boxes = [(topic, way) for topic in ("reminders", "booking") for way in ("mail", "sms", "push")]
    answers = await asyncio.gather(*(cast.asha.patch("/me", channels={topic: {way: False}}) for topic, way in boxes))
    assert [answer.status for answer in answers] == [200] * len(boxes)
    found = await ways(cast.asha)
    assert [(topic, way) for topic, way in boxes if found[topic][way]] == []


NO_WAY = {"mail": False, "sms": False, "push": False}


async def test_news_of_a_booking_always_finds_a_way_and_a_reminder_need_not(cast: Cast) -> None:
    house = cast.house
    wishes = {"booking": NO_WAY, "reminders": NO_WAY}
    assert (await cast.asha.patch("/me", phone="+919876543210", channels=wishes)).status == 200
    booked = await cast.confirmed(cast.asha, cast.dr_rao)
    await house.until(ALL_DONE)
    assert [row["channel"] for row in await house.sql("select channel from notifications")] == ["mail"]
    await remind_now(house, booked, "1h")
    await house.until("select 1 from reminders where kind = '1h' and sent_at is not null")
    assert await house.value("select count(*) from notifications where kind = 'reminder'") == 0

    # With a way that they want, the mail that they do not want stays away.
    assert (await cast.asha.patch("/me", channels={"booking": {"sms": True}})).status == 200
    assert (await cast.dr_rao.post(f"/consultations/{booked['id']}/cancel")).status == 200
    told = await house.until("select channel from notifications where cause like 'cancelled:%'")
    assert [row["channel"] for row in told] == ["sms"]
