"""A crowd that comes back to a server that has just begun: what all of them missed is read from the log once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from realtime.delivery import live_room
from server.core.settings import Settings
from tests.house import Cast, House
from tests.lean import Watcher
from tests.test_delivery_chaos import Pens, pens

CROWD = 60
MISSED = 30


@pytest.fixture
async def pen(settings: Settings) -> AsyncGenerator[Pens]:
    """A pen beside the house's own."""
    async with pens(settings) as opened:
        yield opened


async def returned(watchers: list[Watcher], room: str, count: int) -> None:
    """Have these watch until each has got so many events."""
    tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
    try:
        async with asyncio.timeout(20):
            while any(len(watcher.got[room]) < count for watcher in watchers):  # noqa: ASYNC110 - it is in the sockets
                await asyncio.sleep(0.02)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def who_has_seen(house: House, room: str, number: int, count: int) -> list[Watcher]:
    """Watchers that come back with this number."""
    return [
        Watcher(
            house.bases[0], (room,), random.Random(n), address=f"10.94.0.{n + 1}",
            firsts={room: number}, offsets={room: number},
        )
        for n in range(count)
    ]  # fmt: skip


async def test_what_a_crowd_missed_is_read_once_and_comes_to_each_of_them(
    house: House, cast: Cast, pen: Pens, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[int, int]] = []
    events_since = live_room.events_since

    async def counted(tx: Any, room: str, since: int, limit: int) -> Any:
        reads.append((since, limit))
        await asyncio.sleep(0.2)  # a database that everybody asks at once
        return await events_since(tx, room, since, limit)

    monkeypatch.setattr(live_room, "events_since", counted)
    room = f"slots:{cast.dr_rao.me['doctor_id']}"
    before = await house.value("select coalesce(max(seq), 0) from rooms where name = $1", room)
    for _ in range(MISSED):
        await pen.append(room, True)
    crowd = who_has_seen(house, room, before, CROWD)
    # Some saw a little more before they had to go: what the others were told is in memory by then.
    later = who_has_seen(house, room, before + MISSED // 2, 5)
    stays = who_has_seen(house, room, before, 1)
    staying = asyncio.create_task(stays[0].run())
    try:
        await returned(crowd, room, MISSED)
        await returned(later, room, MISSED - MISSED // 2)
    finally:
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
    for watcher in crowd:
        assert [event.number for event in watcher.got[room]] == list(range(before + 1, before + MISSED + 1))
    for watcher in later:
        assert watcher.got[room][0].number == before + MISSED // 2 + 1
    # One read for all, or two where somebody asked in the very moment in which the first was answered.
    assert 1 <= len(reads) <= 2
