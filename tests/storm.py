"""A storm over everything that events travel through, and the judgement of what the watchers of it got."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from redis.asyncio import Redis

from server.core.tasks import end_tasks
from server.up import Valkey
from tests.lean import Got, Watcher
from tests.proxy import Proxy
from tests.witness import Witness

UNPUBLISHED = 0.02
HOLE_SECONDS = 30.0
STORIES = 20
Log = Mapping[str, Mapping[int, tuple[str, float]]]
"""Of each room, by number, what the server says as `at`, and when it was committed, in seconds since 1970."""


class Instance(Protocol):
    """A server process."""

    @property
    def base(self) -> str:
        """Where it answers."""
        ...

    @property
    def pid(self) -> int:
        """Its process as of now, or its last."""
        ...

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
    silent: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Room and `at` of what was not published, as far as that is known."""
    happened: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    """What the plot did, and when, in seconds since 1970."""
    witness: Witness = field(init=False)

    def __post_init__(self) -> None:
        # Asked for at each look: an instance that was started again is another process.
        self.witness = Witness({it.base: lambda it=it: it.pid for it in self.instances})

    def note(self, what: str) -> None:
        """This happens now."""
        self.happened.append((time.time(), what))


async def storm(stage: Stage, watchers: Sequence[Watcher]) -> None:
    """Half a minute of everything at once, under events in every room; over when all is up again."""
    weather = [
        *(asyncio.create_task(_append(stage, room)) for room in stage.rooms),
        asyncio.create_task(_cut(stage, watchers)),
        asyncio.create_task(stage.witness.watch()),
    ]
    first, second = stage.instances
    began = time.monotonic()
    stage.note("the storm begins")

    async def at(seconds: float) -> None:
        """Wait for a moment of the plot: that there is a while between two faults is part of them."""
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))

    try:
        await at(1)
        await _kill_listeners(stage)
        await at(2)
        stage.note("the second instance's way to Valkey is a black hole")
        with stage.proxy.black_hole():
            await at(4)
            await _restart(stage, first, "the first instance")
            await at(10)
            await _restart_valkey(stage, keep=True)
            await at(15)
            if stage.restart_database is not None:
                stage.note("the database is killed")
                await stage.restart_database()
                stage.back.append(time.time())
                stage.note("the database is back")
            await at(20)
            await _restart(stage, second, "the second instance")
            await at(26)
            await _restart_valkey(stage, keep=False)
            await at(2 + HOLE_SECONDS)
        stage.note("the black hole is over")
        await at(HOLE_SECONDS + 3)
        await _kill_listeners(stage)
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


async def _restart(stage: Stage, instance: Instance, name: str) -> None:
    stage.note(f"{name} is killed")
    await instance.kill()
    await instance.start()
    await instance.stands()
    stage.note(f"{name} is back")


async def _restart_valkey(stage: Stage, *, keep: bool) -> None:
    async with _asking(stage.valkey) as redis:
        folder = Path((await cast("Any", redis).config_get("dir"))["dir"])
        if keep:
            await cast("Any", redis).save()
    stage.note("Valkey is killed")
    await stage.valkey.kill()
    await asyncio.sleep(1.5)  # how long it is away is the fault itself
    if not keep:
        (folder / "dump.rdb").unlink(missing_ok=True)
    await stage.valkey.start()
    stage.note("Valkey is back")


async def _kill_listeners(stage: Stage) -> None:
    stage.note("the listeners' connections are killed")
    async with _asking(stage.valkey) as redis:
        await cast("Any", redis).execute_command("CLIENT", "KILL", "TYPE", "pubsub")


def _asking(valkey: Valkey) -> Redis:
    return Redis.from_url(valkey.url)  # pyright: ignore[reportUnknownMemberType]


class Delay(NamedTuple):
    """How late an event came to a watcher, in seconds, and whence; moments are seconds since 1970."""

    seconds: float
    """From when it could have come (its commit, or the return of what was away), without what the machine held up."""
    held: float
    base: str
    room: str
    number: int
    committed: float
    since: float
    got: Got


@dataclass
class Verdict:
    """What the watchers got of what they were owed."""

    owed: int = 0
    missing: int = 0
    surplus: int = 0
    """What came twice, out of order, or is not what the log holds under its number."""
    delays: list[Delay] = field(default_factory=list[Delay])

    @property
    def lost_percent(self) -> float:
        """How much of what was owed never came."""
        return 100 * self.missing / self.owed

    @property
    def latest(self) -> float:
        """The longest delay, in seconds."""
        return max(delay.seconds for delay in self.delays)


def judge(watchers: Sequence[Watcher], log: Log, stage: Stage | None = None) -> Verdict:
    """Compare with the log. Without a stage nothing came back but the watchers, and nothing is forgiven."""
    verdict = Verdict()
    for watcher in watchers:
        came_back = sorted([*watcher.connected, *(stage.back if stage is not None else ())])
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
                    committed = owed[event.number][1]
                    since = max([committed, *(moment for moment in came_back if moment <= event.came)])
                    held = stage.witness.held(watcher.base, since, event.came) if stage is not None else 0.0
                    late = event.came - since - held
                    verdict.delays.append(Delay(late, held, watcher.base, room, event.number, committed, since, event))
    return verdict


def stories(stage: Stage, verdict: Verdict, seconds: float) -> list[str]:
    """What came later than so many seconds, the latest first, each with all that is known of it."""
    late: dict[tuple[str, str, int], list[Delay]] = defaultdict(list)
    for delay in verdict.delays:
        if delay.seconds > seconds:
            late[delay.base, delay.room, delay.number].append(delay)
    told = [_story(stage, max(delays), len(delays)) for delays in late.values()]
    return [text for _, text in sorted(told, reverse=True)[:STORIES]]


def _story(stage: Stage, delay: Delay, count: int) -> tuple[float, str]:
    began = stage.happened[0][0]
    which = [instance.base for instance in stage.instances].index(delay.base) + 1
    since = "its watcher's return"
    if delay.since == delay.committed:
        since = "its commit"
    elif delay.since in stage.back:
        since = "the database's return"
    just = [f"{what} ({moment - began:.2f})" for moment, what in stage.happened if moment <= delay.got.came][-3:]
    return delay.seconds, (
        f"{delay.room} number {delay.number}, to {count} watchers of instance {which}: {delay.seconds:.2f} s after "
        f"{since}, and {delay.held:.2f} s held up by the machine; committed at {delay.committed - began:.2f}"
        f"{', never published' if (delay.room, delay.got.at) in stage.silent else ''}, due since "
        f"{delay.since - began:.2f}, came at {delay.got.came - began:.2f} "
        f"{'as the answer to a subscribe' if delay.got.asked else 'by itself'}; before: {', '.join(just)}"
    )


__all__ = ["Instance", "Log", "Stage", "Verdict", "judge", "stories", "storm"]
