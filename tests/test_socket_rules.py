"""SECURITY E2 to E5 and Z7, rule by rule: who may connect, for how long unsaid, how much they may say, and as whom."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError
from socketio.exceptions import ConnectionError as NotLetIn

from realtime.delivery.client import LiveClient, Refused
from realtime.delivery.limits import Bounds
from server.core.settings import Settings
from tests.conftest import PASSWORD
from tests.house import Cast, House, open_house_of
from tests.test_delivery import live, raw_socket, slots_of
from tests.test_socket_budgets import sockets_of

CANDIDATE: dict[str, object] = {"to": "p", "epoch": 1, "candidates": [{"candidate": ""}]}


async def codes(client: LiveClient, name: str, count: int, **fields: object) -> list[str]:
    """How each of so many calls was answered: `ok`, or the code of the refusal."""
    found: list[str] = []
    for _ in range(count):
        try:
            await client.call(name, **fields)
            found.append("ok")
        except Refused as refused:
            found.append(refused.code)
    return found


# E2: the handshake


async def test_an_origin_must_be_one_of_the_list_to_the_letter(house: House, cast: Cast) -> None:
    ours = house.settings.public_url
    lies = (
        ours + ".evil.example",
        ours.replace("http://", "https://"),
        ours + "/",
        ours.upper(),
        ours.replace("127.0.0.1", "localhost"),
        "null",
        "",
        f"{ours}, https://evil.example",
    )
    for lie in lies:
        for more in ({}, {"Cookie": "amrutam=" + cast.asha.token}, {"X-Forwarded-Host": "evil.example"}):
            with pytest.raises(WSServerHandshakeError) as refused:
                async with raw_socket(house.base, Origin=lie, **more):
                    pass
            assert refused.value.status == 403, lie
    async with raw_socket(house.base, Origin=ours) as ws:
        assert (await ws.receive_str()).startswith("0{")


async def test_a_socket_has_its_requests_address_and_no_header_changes_it_without_a_trusted_proxy(
    settings: Settings, owner_url: str
) -> None:
    trusting_nobody = settings.model_copy(update={"trusted_proxies": ()})
    async with open_house_of(trusting_nobody, owner_url) as house:
        lies = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
        async with LiveClient(house.base, headers=lies):
            [socket] = house.server.realtime.connections.sockets.values()
            assert socket.actor.address == "127.0.0.1"


async def test_behind_a_trusted_proxy_the_address_is_what_the_proxy_says(house: House) -> None:
    # The client's own claim comes first; what the proxy appended is the last that is no proxy.
    async with LiveClient(house.base, headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.7, 127.0.0.9"}):
        [socket] = house.server.realtime.connections.sockets.values()
        assert socket.actor.address == "203.0.113.7"


# E3: WebSocket only


async def test_a_polling_clients_id_opens_nothing(house: House) -> None:
    polling = house.base + "/socket.io/?EIO=4&transport=polling"
    async with aiohttp.ClientSession() as http:
        async with http.get(polling) as response:
            sid = (await response.text()).split('"sid":"')[1].split('"')[0]
        async with http.post(f"{polling}&sid={sid}", data="40") as response:
            assert response.status == 200
        async with http.get(f"{polling}&sid={sid}") as response:
            assert await response.text() == "1"  # Engine.IO's close
    assert not house.server.realtime.server.wires


# E4: who says nothing


async def test_only_a_connect_that_is_accepted_stops_the_clock(house: House, cast: Cast) -> None:
    """Nothing, another namespace, a refused token: the socket ends. So does one that pings all the while."""
    firsts: tuple[str, ...] = ("", "40/admin,", '40{"token":"00000000.wrong"}', "40{", "3", '42["subscribe",{}]')
    async with sockets_of(house, Bounds(connect_seconds=1)) as (base, sockets):
        for first in firsts:
            async with raw_socket(base) as ws:
                await ws.receive_str()
                if first:
                    await ws.send_str(first)
                async with asyncio.timeout(5):
                    kinds = [message.type async for message in ws]
                assert WSMsgType.ERROR not in kinds
        async with live(cast.vik, base=base) as client:
            began = time.monotonic()
            await client.watch(slots_of(cast.dr_rao))
            assert len(sockets.connections.sockets) == 1
            await asyncio.sleep(max(0.0, began + 1.5 - time.monotonic()))
            assert client.is_connected
        assert await codes_of_a_second_connect(base) == ["44", "closed"]


async def codes_of_a_second_connect(base: str) -> list[str]:
    """A token that is refused cannot be followed by another one on the same socket: no guessing at leisure."""
    said: list[str] = []
    async with raw_socket(base) as ws:
        await ws.receive_str()
        await ws.send_str('40{"token":"00000000.wrong"}')
        said.append((await ws.receive_str())[:2])
        await ws.send_str("40")
        async with asyncio.timeout(5):
            said += [str(message.data)[:2] async for message in ws if message.type is WSMsgType.TEXT]
        return [*said[:1], "closed" if not any(text == "40" for text in said) else "connected"]


# E5: how much


async def test_candidates_have_a_budget_of_their_own(house: House, cast: Cast) -> None:
    few = Bounds(events_a_socket=2, candidates_a_socket=5, budget_seconds=60)
    async with sockets_of(house, few) as (base, _), live(cast.vik, base=base) as client:
        room = slots_of(cast.dr_rao)
        assert await codes(client, "unsubscribe", 3, room=room) == ["ok", "ok", "rate-limited"]
        spent = await codes(client, "video.candidate", 6, **CANDIDATE)
        assert "rate-limited" not in spent[:5]
        assert spent[5] == "rate-limited"


async def test_only_strikes_of_one_kind_add_up(house: House, cast: Cast) -> None:
    few = Bounds(events_a_socket=2, candidates_a_socket=2, budget_seconds=60)
    async with sockets_of(house, few) as (base, _), live(cast.vik, base=base) as client:
        room = slots_of(cast.dr_rao)
        assert await codes(client, "unsubscribe", 4, room=room) == ["ok", "ok", "rate-limited", "rate-limited"]
        assert (await codes(client, "video.candidate", 4, **CANDIDATE))[2:] == ["rate-limited", "rate-limited"]
        assert client.is_connected
        assert await codes(client, "unsubscribe", 1, room=room) == ["rate-limited"]
        await client.until(lambda: client.byes and not client.is_connected)
        assert client.byes[0]["code"] == "rate-limited"
        assert client.byes[0]["retry"] is True
        assert client.byes[0]["after_ms"] > 0


async def test_strikes_are_forgotten(house: House, cast: Cast) -> None:
    quick = Bounds(events_a_socket=1, budget_seconds=60, strikes_forgotten_seconds=0.3)
    async with sockets_of(house, quick) as (base, _), live(cast.vik, base=base) as client:
        room = slots_of(cast.dr_rao)
        await client.call("unsubscribe", room=room)
        for _ in range(3):
            assert await codes(client, "unsubscribe", 2, room=room) == ["rate-limited"] * 2
            await asyncio.sleep(0.35)
        assert client.is_connected


async def test_a_socket_in_a_call_is_never_ended_for_candidates_alone(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    of = {"consultation_id": consultation["id"]}
    few = Bounds(candidates_a_socket=5, budget_seconds=60)
    async with (
        sockets_of(house, few) as (base, _),
        live(cast.asha, base=base) as asha,
        live(cast.dr_rao, base=base) as rao,
    ):
        await asha.call("waiting.check_in", **of)
        await rao.call("queue.call")
        await rao.call("video.join", device="tab1", **of)
        await asha.call("video.join", device="tab2", **of)
        over = await codes(asha, "video.candidate", few.candidates_a_socket + 2 * few.strikes, **CANDIDATE)
        assert over[few.candidates_a_socket :] == ["rate-limited"] * 2 * few.strikes
        assert asha.is_connected
        assert not asha.byes
        assert await asha.call("video.media", audio=True, video=False)


async def test_an_address_has_so_many_sockets_before_a_login_and_a_64_is_one_address(house: House) -> None:
    few = Bounds(sockets_an_address=3)
    networks = itertools.cycle(("2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2:0:1:2:3"))
    async with sockets_of(house, few) as (base, sockets), contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(raw_socket(base, **{"X-Forwarded-For": next(networks)}))
        with pytest.raises(WSServerHandshakeError) as refused:
            await stack.enter_async_context(raw_socket(base, **{"X-Forwarded-For": next(networks)}))
        assert refused.value.status == 429
        headers = refused.value.headers
        assert headers is not None
        assert int(headers["Retry-After"]) > 0
        await stack.enter_async_context(raw_socket(base, **{"X-Forwarded-For": "2001:db8:1:3::1"}))
        assert len(sockets.server.wires) == 4


async def test_what_is_set_is_what_holds(settings: Settings, owner_url: str) -> None:
    tight = {"sockets_a_user": 2, "socket_events": 3, "socket_events_a_user": 5, "socket_frame_bytes": 1024}
    async with (
        open_house_of(settings.model_copy(update=tight), owner_url) as house,
        contextlib.AsyncExitStack() as stack,
    ):
        vik = await house.log_in("patient2@example.org", PASSWORD)
        first, second = [await stack.enter_async_context(live(vik)) for _ in range(2)]
        with pytest.raises(NotLetIn):
            await stack.enter_async_context(live(vik))
        room = f"user:{vik.me['id']}"
        assert await codes(first, "unsubscribe", 4, room=room) == ["ok", "ok", "ok", "rate-limited"]
        assert await codes(second, "unsubscribe", 3, room=room) == ["ok", "ok", "rate-limited"]
        async with raw_socket(house.base) as ws:
            assert '"maxPayload":1024' in await ws.receive_str()
            await ws.send_str("4" + "x" * 1024)
            assert (await ws.receive()).type is WSMsgType.CLOSE
            assert ws.close_code == 1009


# Z7: who one is, now


async def end_of(client: LiveClient, seconds: float) -> dict[str, Any]:
    """The goodbye that ended a connection."""
    await client.until(lambda: client.byes and not client.is_connected, seconds=seconds)
    return client.byes[0]


async def test_a_closed_account_is_out_on_open_sockets_too(house: House, cast: Cast) -> None:
    async with live(cast.vik) as vik, live(cast.asha) as asha:
        await vik.watch(f"user:{cast.vik.me['id']}")
        began = time.monotonic()
        assert (await cast.mira.post(f"/admin/users/{cast.vik.me['id']}/disable", key=None)).status == 200
        bye = await end_of(vik, 2)
        assert (bye["code"], bye["retry"]) == ("session-ended", False)
        assert time.monotonic() - began < 1
        assert asha.is_connected
    with pytest.raises(NotLetIn):
        async with live(cast.vik):
            pass


async def test_a_new_password_ends_the_other_sockets(house: House, cast: Cast) -> None:
    elsewhere = await house.log_in("patient2@example.org", PASSWORD)
    async with live(elsewhere) as other:
        await other.watch(f"user:{elsewhere.me['id']}")
        changed = await cast.vik.post("/auth/password", key=None, password="another-lotus-ferry-31")
        assert changed.status == 200, changed.text
        assert (await end_of(other, 2))["code"] == "session-ended"


async def test_a_role_taken_away_ends_what_was_open_in_it(house: House, cast: Cast) -> None:
    async with live(cast.mira) as mira:
        await mira.watch("ops")
        await house.sql("update users set role = 'PATIENT' where id = $1", cast.mira.me["id"])
        assert (await end_of(mira, Bounds().sessions_seconds + 5))["code"] == "session-ended"


async def test_a_doctor_whose_patient_was_handed_on_is_out_on_the_next_message(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    of = {"consultation_id": consultation["id"]}
    room = f"consultation:{consultation['id']}"
    async with live(cast.asha) as asha, live(cast.dr_rao) as rao, live(cast.dr_sen) as sen:
        await asha.call("waiting.check_in", **of)
        await rao.watch(room)
        await rao.call("chat.send", client_id="r1", text="one moment", **of)
        assert (await codes(sen, "chat.send", 1, client_id="s1", text="hello", **of)) == ["not-found"]
        await rao.call("queue.transfer", doctor_id=cast.dr_sen.me["doctor_id"], **of)
        assert (await codes(rao, "chat.send", 1, client_id="r2", text="still here", **of)) == ["not-found"]
        assert (await codes(rao, "chat.typing", 1, **of)) == ["not-found"]
        assert (await codes(sen, "chat.send", 1, client_id="s1", text="hello", **of)) == ["ok"]
        await rao.until(lambda: any(resync["reason"] == "left" for resync in rao.resyncs), seconds=5)
        with pytest.raises(Refused) as refused:
            await rao.watch(room)
        assert refused.value.code == "not-found"
