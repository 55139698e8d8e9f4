"""Delivery while Redis restarts or falls silent, and after the database went back: late by seconds, never wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from pydantic import SecretStr

from realtime.delivery.client import LiveClient, Watched
from server.core.ids import DoctorId, EventId, new_id
from server.core.outbox import Frame, pack
from server.core.settings import Settings
from server.core.tx import SYSTEM, Tx
from tests.conftest import PASSWORD, Services
from tests.house import Cast, House, open_house_of
from tests.proxy import proxy_to
from tests.test_delivery_chaos import change_of

QUICK_SECONDS = 0.3
LATEST_SECONDS = 2.0
SILENCE_SECONDS = 60.0


@contextlib.asynccontextmanager
async def watching(house: House, room: str) -> AsyncGenerator[tuple[LiveClient, Watched]]:
    """A stranger who watches a room."""
    stranger = house.stranger()
    async with LiveClient(house.base, headers={"X-Forwarded-For": stranger.address}) as live:
        yield live, await live.watch(room)


async def emit(house: House, room: str) -> None:
    """One event in a slots room."""
    doctor_id = DoctorId(UUID(room.partition(":")[2]))

    async def tell(tx: Tx) -> None:
        tx.emit(change_of(doctor_id, tx))

    await house.server.database.write(tell, source="test")


async def seconds_until_heard(house: House, live: LiveClient, watched: Watched) -> float:
    """How long an event takes from its commit to a watcher."""
    before = len(watched.events)
    await emit(house, watched.room)
    began = time.monotonic()
    await live.until(lambda: len(watched.events) > before, seconds=10)
    return time.monotonic() - began


async def until_quick(house: House, live: LiveClient, watched: Watched, seconds: float = 15) -> float:
    """Send events until the channels bring them again and not the sweep; the longest that one took."""
    took: list[float] = []
    async with asyncio.timeout(seconds):
        while len(took) < 3 or max(took[-3:]) > QUICK_SECONDS:
            took.append(await seconds_until_heard(house, live, watched))
    return max(took)


def in_order(watched: Watched) -> bool:
    """Whether every event came once, in order."""
    numbers = [event["offset"] for event in watched.events]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.chaos
@pytest.mark.timeout(SILENCE_SECONDS + 120)
async def test_events_come_while_redis_restarts_and_while_it_is_silent_for_a_minute(
    services: Services, settings: Settings, owner_url: str
) -> None:
    async with proxy_to(services.valkey.url) as proxy:
        behind = settings.model_copy(update={"redis_url": SecretStr(proxy.redis_url)})
        async with open_house_of(behind, owner_url) as house:
            cast = await Cast.sign_in(house, PASSWORD)
            room = f"slots:{cast.dr_rao.me['doctor_id']}"
            async with watching(house, room) as (live, watched):
                await until_quick(house, live, watched)
                await services.valkey.restart()
                assert await until_quick(house, live, watched) < LATEST_SECONDS
                with proxy.black_hole():
                    ends = time.monotonic() + SILENCE_SECONDS
                    while time.monotonic() < ends:
                        assert await seconds_until_heard(house, live, watched) < LATEST_SECONDS
                        began = time.monotonic()
                        async with watching(house, room) as (_, newcomer):
                            assert newcomer.offset == watched.offset
                        assert time.monotonic() - began < LATEST_SECONDS
                    assert (await cast.booked(cast.asha, cast.dr_rao))["status"] == "PENDING"
                assert await until_quick(house, live, watched) < LATEST_SECONDS
                assert in_order(watched)
                assert live.resyncs == []


async def go_back(house: House, room: str, *, lost: int, new: int) -> list[Frame]:
    """Lose the last events of a room, as a failover does, and commit others in their place; the new ones' frames."""
    cipher = house.server.database.cipher
    doctor_id = DoctorId(UUID(room.partition(":")[2]))
    frames: list[Frame] = []
    conn: Any = await asyncpg.connect(house.owner_url)
    try:
        async with conn.transaction():
            head = await conn.fetchval("select seq from rooms where name = $1 for update", room) - lost
            await conn.execute("delete from room_events where room = $1 and number > $2", room, head)
            for number in range(head + 1, head + new + 1):
                tx = Tx(conn, house.server.database.clock(), SYSTEM)
                event = change_of(doctor_id, tx)
                frame = Frame(room, number, event.name, pack(event, cipher), tx.now, EventId(new_id(tx.now)))
                frames.append(frame)
                await conn.execute(
                    "insert into room_events (room, number, event_id, type, data, at) values ($1, $2, $3, $4, $5, $6)",
                    room, number, frame.event_id, frame.type, frame.data, frame.at,
                )  # fmt: skip
            await conn.execute("update rooms set seq = $2 where name = $1", room, head + new)
    finally:
        await conn.close()
    return frames


@pytest.mark.parametrize("published", ["none", "last", "all"])
@pytest.mark.parametrize("new", [1, 2, 3])
async def test_events_in_the_place_of_lost_ones_are_never_dropped_as_old(
    house: House, cast: Cast, new: int, published: str
) -> None:
    room = f"slots:{cast.dr_rao.me['doctor_id']}"
    async with watching(house, room) as (live, watched):
        for _ in range(4):
            await emit(house, room)
        await live.until(lambda: len(watched.events) == 4)
        before = watched.offset or 0
        frames = await go_back(house, room, lost=2, new=new)
        told = {"none": [], "last": frames[-1:], "all": frames}[published]
        house.server.database.publisher.hand(told, relay=False)
        await live.until(lambda: live.resyncs)
        assert live.resyncs[0]["reason"] == "restored"
        await live.until(lambda: watched.asking is None and watched.offset == before - 2 + new)
        # A number from before may be another event's now: whoever brings one gets the room as it is.
        assert "snapshot" in await live.call("subscribe", room=room, since=before)
        await emit(house, room)
        await live.until(lambda: watched.offset == before - 1 + new)
        assert len(live.resyncs) == 1
