"""A storm over everything that events travel through, and the judgement of what the watchers of it got."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from redis.asyncio import Redis

from server.core.tasks import end_tasks
from server.up import Valkey
from tests.lean import Watcher
from tests.proxy import Proxy

UNPUBLISHED = 0.02
HOLE_SECONDS = 30.0


class Instance(Protocol):
    """A server process."""

    async def kill(self) -> None:
        """kill -9."""
        ...

    async def start(self) -> None:
        """Start it again, at the same address."""
        ...

    async def stands(self) -> None:
        """Wait until it answers."""
        ...


@dataclass
class Stage:
    """What the storm goes over: two instances, the second of which reaches Valkey through the proxy."""

    instances: Sequence[Instance]
    valkey: Valkey
    proxy: Proxy
    rooms: Sequence[str]
    append: Callable[[str, bool], Awaitable[None]]
    """Commit one event of a room; False: and do not publish it."""
    restart_database: Callable[[], Awaitable[None]] | None
    rng: random.Random
    pace_seconds: float = 0.25
    back: list[float] = field(default_factory=list[float])
    """When the database came back, in seconds since 1970; of an instance its watchers note it."""
    appended: int = 0
    unpublished: int = 0
    stall: float = 0.0
    """The longest time that this process itself was held up."""


async def storm(stage: Stage, watchers: Sequence[Watcher]) -> None:
    """Half a minute of everything at once, under events in every room; over when all is up again."""
    weather = [
        *(asyncio.create_task(_append(stage, room)) for room in stage.rooms),
        asyncio.create_task(_cut(stage, watchers)),
        asyncio.create_task(_watch_the_clock(stage)),
    ]
    first, second = stage.instances
    began = time.monotonic()

    async def at(seconds: float) -> None:
        """Wait for a moment of the plot: that there is a while between two faults is part of them."""
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))

    try:
        await at(1)
        await _kill_listeners(stage.valkey)
        await at(2)
        with stage.proxy.black_hole():
            await at(4)
            await _restart(first)
            await at(10)
            await _restart_valkey(stage, keep=True)
            await at(15)
            if stage.restart_database is not None:
                await stage.restart_database()
                stage.back.append(time.time())
            await at(20)
            await _restart(second)
            await at(26)
            await _restart_valkey(stage, keep=False)
            await at(2 + HOLE_SECONDS)
        await at(HOLE_SECONDS + 3)
        await _kill_listeners(stage.valkey)
        await at(HOLE_SECONDS + 5)
        for task in weather:
            if task.done():
                task.result()
    finally:
        await end_tasks(weather)


async def _append(stage: Stage, room: str) -> None:
    while True:
        published = stage.rng.random() >= UNPUBLISHED
        await stage.append(room, published)
        stage.appended += 1
        stage.unpublished += not published
        await asyncio.sleep(stage.pace_seconds * stage.rng.uniform(0.5, 1.5))


async def _cut(stage: Stage, watchers: Sequence[Watcher]) -> None:
    while True:
        await asyncio.sleep(stage.rng.uniform(0.1, 0.3))
        for watcher in stage.rng.sample(watchers, 2):
            if watcher.socket is not None:
                watcher.socket.abort()


async def _watch_the_clock(stage: Stage) -> None:
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.02)
        stage.stall = max(stage.stall, time.monotonic() - before - 0.02)


async def _restart(instance: Instance) -> None:
    await instance.kill()
    await instance.start()
    await instance.stands()


async def _restart_valkey(stage: Stage, *, keep: bool) -> None:
    async with _asking(stage.valkey) as redis:
        folder = Path((await cast("Any", redis).config_get("dir"))["dir"])
        if keep:
            await cast("Any", redis).save()
    await stage.valkey.kill()
    await asyncio.sleep(1.5)  # how long it is away is the fault itself
    if not keep:
        (folder / "dump.rdb").unlink(missing_ok=True)
    await stage.valkey.start()


async def _kill_listeners(valkey: Valkey) -> None:
    async with _asking(valkey) as redis:
        await cast("Any", redis).execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def _asking(valkey: Valkey) -> Redis:
    return Redis.from_url(valkey.url)  # pyright: ignore[reportUnknownMemberType]


@dataclass
class Verdict:
    """What the watchers got of what they were owed."""

    owed: int = 0
    missing: int = 0
    surplus: int = 0
    """What came twice, out of order, or is not what the log holds under its number."""
    delays: list[float] = field(default_factory=list[float])
    """Seconds from when an event could have come: its commit, or the return of what was away."""

    @property
    def lost_percent(self) -> float:
        """How much of what was owed never came."""
        return 100 * self.missing / self.owed


def judge(
    watchers: Sequence[Watcher], log: Mapping[str, Mapping[int, tuple[str, float]]], back: Sequence[float]
) -> Verdict:
    """Compare with the log: of each room, by number, what the server says as `at`, and when it was committed."""
    verdict = Verdict()
    for watcher in watchers:
        came_back = sorted([*watcher.connected, *back])
        for room, first in watcher.firsts.items():
            owed = {number: line for number, line in log[room].items() if number > first}
            got = watcher.got[room]
            right = {event.number for event in got if event.number in owed and owed[event.number][0] == event.at}
            verdict.owed += len(owed)
            verdict.missing += len(owed.keys() - right)
            in_order = [event.number for event in got] == sorted({event.number for event in got})
            verdict.surplus += len(got) - len(right) + (not in_order)
            for event in got:
                if event.number in owed:
                    since = max([owed[event.number][1], *(moment for moment in came_back if moment <= event.came)])
                    verdict.delays.append(event.came - since)
    return verdict


__all__ = ["Instance", "Stage", "Verdict", "judge", "storm"]
