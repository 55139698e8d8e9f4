"""Sockets that mean harm: each attack ends in a problem or a clean cut, and who watches beside it misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import tracemalloc
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from realtime.delivery.client import LiveClient, Refused
from tests.house import Cast, Client, House
from tests.test_delivery import change_slots, live, slots_of
from tests.test_fanout import Bare, bare, frame

MEGABYTE = 1_000_000
CLOSE = 0x88


@contextlib.asynccontextmanager
async def beside(cast: Cast, caplog: pytest.LogCaptureFixture) -> AsyncGenerator[None]:
    """Somebody who behaves, watching during the attack: gets each event once and in order, and can ask and be answered.

    Whatever the attack, nothing is logged as an error.
    """
    room = slots_of(cast.dr_sen)
    async with live(cast.vik) as client:
        watched = await client.watch(room)
        first = watched.offset or 0
        await change_slots(cast.house, room, 3)
        with caplog.at_level(logging.WARNING):
            yield
        await change_slots(cast.house, room, 3)
        await client.until(lambda: len(watched.events) == 6, seconds=5)
        assert [event["offset"] for event in watched.events] == list(range(first + 1, first + 7))
        assert "snapshot" in await client.call("subscribe", room=room)
    assert [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info
    ] == []


async def cut(client: Bare) -> int:
    """Hear until the connection ends; the code of the CLOSE, 0 where there was none."""
    code = 0
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            first, payload = await client.hear()
            if first == CLOSE:
                code = int.from_bytes(payload[:2], "big")
    return code


async def answered(client: Bare, name: str, message: object) -> dict[str, Any]:
    """The acknowledgement of one command, which is a refusal."""
    text = await client.ask("427" + json.dumps([name, message]))
    assert text.startswith("437["), text
    [answer] = json.loads(text[3:])
    assert answer["ok"] is False
    return dict(answer["error"])


async def test_what_is_no_engine_io_ends_its_connection(
    house: House, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    async with beside(cast, caplog):
        for text in ("", "x", "9", "1", "5", "6", "0{}", "b4AAAA", "\x00", "नमस्ते"):
            async with bare(house) as attacker:
                await attacker.ask("40")
                attacker.writer.write(frame(text))
                if text in ("1", "5", "6"):  # Engine.IO's own close, upgrade and noop
                    attacker.writer.write(frame("41"))
                assert await cut(attacker) in (0, 1000, 1002, 1008), text


@pytest.mark.parametrize("size", [MEGABYTE, 33 * MEGABYTE], ids=["1MB", "33MB"])
async def test_a_message_of_megabytes_is_cut_and_kept_nowhere(
    house: House, cast: Cast, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    async with beside(cast, caplog), bare(house) as attacker:
        await attacker.ask("40")
        tracemalloc.start()
        try:
            attacker.writer.write(b"\x81\xff" + size.to_bytes(8, "big") + bytes(4) + b'42["x","')
            heard = asyncio.create_task(cut(attacker))
            with contextlib.suppress(ConnectionError):
                for _ in range(size // 100_000):
                    attacker.writer.write(b"a" * 100_000)
                    await attacker.writer.drain()
                    if heard.done():
                        break
            assert await heard in (0, 1009)
            _, most = tracemalloc.get_traced_memory()
            assert most < 3 * MEGABYTE
        finally:
            tracemalloc.stop()


DEEP = '["subscribe",' + "[" * 9_000 + "]" * 9_000 + "]"
BROAD = '["subscribe",{' + ",".join(f'"k{n}":1' for n in range(1_500)) + "}]"


NO_NUMBER, HALF_A_CHARACTER, NUL = (
    f'["subscribe",{{"room":{value}}}]' for value in ("1e999", '"\\ud800"', '"\\u0000"')
)


async def test_json_beyond_the_bounds_is_a_problem(house: House, cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    async with beside(cast, caplog):
        for packet in (DEEP, BROAD, NO_NUMBER, HALF_A_CHARACTER, NUL):  # the third in a row would be the last
            async with bare(house) as attacker:
                await attacker.ask("40")
                text = await attacker.ask("427" + packet)
                assert text.startswith('437[{"ok":false,"error":'), text
                assert "/problems/malformed" in text


async def test_what_nobody_asked_for_is_refused_or_let_fall(
    house: House, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    room = slots_of(cast.dr_sen)
    signed_in = "40" + json.dumps({"token": cast.asha.token})
    async with beside(cast, caplog):
        async with bare(house) as attacker:
            await attacker.ask(signed_in)
            assert (await answered(attacker, "no.such.command", {}))["type"] == "/problems/unknown-event"
            assert (await answered(attacker, "event", {"room": room}))["type"] == "/problems/unknown-event"
        async with bare(house) as attacker:
            await attacker.ask(signed_in)
            for message in ([1, 2], None):
                assert (await answered(attacker, "subscribe", message))["status"] in (400, 422)
        async with bare(house) as attacker:
            await attacker.ask(signed_in)
            attacker.writer.write(frame("43999[1]") + frame("430[]"))  # answers to what the server never asked
            assert (await answered(attacker, "no.such.command", {}))["type"] == "/problems/unknown-event"


async def test_rooms_that_are_none_or_anothers_are_refused_alike(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    house = cast.house
    booked = await cast.booked(cast.asha, cast.dr_rao)
    rooms = [
        "",
        "slots",
        "slots:",
        "slots:1",
        f"slots:{uuid4()}",
        f"slots:{cast.dr_sen.me['doctor_id']} ",
        f"SLOTS:{cast.dr_sen.me['doctor_id']}",
        "nothing:1",
        "ops:1",
        f"consultation:{uuid4()}",
        f"consultation:{booked['id']}",
        f"queue:{cast.dr_rao.me['doctor_id']}",
        f"user:{cast.asha.me['id']}",
    ]
    stranger, vik = house.stranger(), cast.vik
    async with beside(cast, caplog):
        for who in (stranger, vik):
            problems = [await refused_room(who, room) for room in rooms]
            assert {problem["status"] for problem in problems} <= {401, 403, 404, 422}
            # Another's consultation is told like one that is not there.
            theirs, none = problems[rooms.index(f"consultation:{booked['id']}")], problems[-4]
            assert theirs["type"] == none["type"]


async def refused_room(who: Client, room: str) -> dict[str, Any]:
    """The problem of asking for a room, over a socket of its own: a socket's budget is small."""
    headers = {"X-Forwarded-For": who.address}
    async with LiveClient(who.base, token=who.token, headers=headers) as client:
        with pytest.raises(Refused) as refused:
            await client.call("subscribe", room=room)
        return dict(refused.value.problem)


async def test_numbers_that_cannot_be_lead_to_a_snapshot_or_a_problem(
    cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    room = slots_of(cast.dr_rao)
    async with beside(cast, caplog), bare(cast.house) as attacker:
        await attacker.ask("40")
        for since in (-1, 10**6, 2**53, 2**64, 1.5, "1", True, None):
            text = await attacker.ask("427" + json.dumps(["subscribe", {"room": room, "since": since}]))
            [answer] = json.loads(text[3:])
            if answer["ok"]:  # a number that the room has not reached, or none: the picture anew
                assert since in (10**6, 2**53, None)
                assert "snapshot" in answer
            else:
                assert answer["error"]["status"] in (400, 422), since


async def test_ten_thousand_subscribes_end_with_a_goodbye(
    house: House, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    room = slots_of(cast.dr_rao)
    async with beside(cast, caplog), bare(house) as attacker:
        await attacker.ask("40")
        attacker.writer.write(
            b"".join(frame(f"42{n}" + json.dumps(["subscribe", {"room": room}])) for n in range(10_000))
        )
        heard: list[bytes] = []
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                first, payload = await attacker.hear()
                heard.append(payload)
                if first == CLOSE:
                    break
        assert sum(b'{"ok":true' in payload for payload in heard) <= 30
        assert any(b'"bye"' in payload and b"rate-limited" in payload for payload in heard)


async def test_handshakes_that_are_never_finished_hold_nobody_up(
    house: House, cast: Cast, caplog: pytest.LogCaptureFixture
) -> None:
    where = urlsplit(house.base)
    knock = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
    async with beside(cast, caplog), contextlib.AsyncExitStack() as stack:
        for begun in (b"", knock, knock + b"Upgrade: websocket\r\nConnection: Up"):
            for _ in range(100):
                _, writer = await asyncio.open_connection(where.hostname, where.port)
                stack.callback(writer.close)
                writer.write(begun)
        async with bare(house) as late:
            assert (await late.ask("40")).startswith('40{"sid":')
        assert (await cast.asha.get("/me")).status == 200
