"""One contender measured: memory a connection, processor time a delivery, and when the last client had each event."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from bench.fanout.contenders import Contender
from bench.fanout.lines import Child

SETTLE_SECONDS = 2.0
IDLE_SECONDS = 10.0  # one heartbeat of each client
REPORT_SECONDS = 120.0
WARM_UP = 50


@dataclass(frozen=True)
class Load:
    """Batches of events, [room, count] each, and the seconds between two."""

    batches: Sequence[Sequence[tuple[int, int]]]
    interval: float

    def of_rooms(self, rooms: int) -> list[int]:
        """How many events each room gets."""
        counts = [0] * rooms
        for batch in self.batches:
            for room, count in batch:
                counts[room] += count
        return counts


@dataclass
class Figures:
    """What one load cost: microseconds of processor a delivery, milliseconds until the last client, bytes a frame."""

    cpu_us: float
    last_ms: list[float] = field(default_factory=list[float])
    frame_bytes: float = 0.0
    missing: int = 0

    def percentile(self, share: float) -> float:
        """Milliseconds within which this share of the events had reached their last client."""
        return statistics.quantiles(self.last_ms, n=100, method="inclusive")[int(share * 100) - 1]


def cpu(pid: int) -> float:
    """Seconds of processor that a process has used, to the nanosecond: its own clock, and not its ticks."""
    return time.clock_gettime((~pid << 3) | 2)


async def connect(watchers: Child, contender: Contender, clients: int, rooms: int) -> None:
    """That many clients, spread over servers and rooms."""
    servers = contender.servers
    await watchers.ask(
        do="connect",
        path=contender.path,
        origin=contender.origin,
        clients=[(servers[n // rooms % len(servers)][0], n % rooms, contender.join(n % rooms)) for n in range(clients)],
    )


async def memory(watchers: Child, contender: Contender, clients: int, rooms: int) -> float:
    """Connect them, and kB that each costs the server, its first heartbeat not yet sent. They stay connected."""
    await connect(watchers, contender, WARM_UP, rooms)
    await watchers.ask(do="close")
    await asyncio.sleep(SETTLE_SECONDS)
    process = psutil.Process(contender.servers[0][1])
    before = process.memory_info().rss
    await connect(watchers, contender, clients, rooms)
    await asyncio.sleep(SETTLE_SECONDS)
    return (process.memory_info().rss - before) / clients / 1000


async def idle(pids: Sequence[int]) -> float:
    """Seconds of processor a second that the connections cost when nothing happens: heartbeats, sweeps."""
    before, begun = sum(map(cpu, pids)), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    return (sum(map(cpu, pids)) - before) / (time.monotonic() - begun)


async def put(watchers: Child, contender: Contender, load: Load, clients: int, rooms: int, resting: float) -> Figures:
    """Emit a load and wait until every client has every event. What idling would have cost is taken off."""
    pids = [pid for _, pid in contender.servers]
    expected = load.of_rooms(rooms)
    deliveries = int((await watchers.ask(do="begin", expected=expected))["expected"])
    before, begun = sum(map(cpu, pids)), time.monotonic()
    sent = await contender.emit(load.batches, load.interval)
    report = await watchers.ask(do="report", seconds=REPORT_SECONDS)
    spent = sum(map(cpu, pids)) - before - resting * (time.monotonic() - begun)
    return Figures(
        cpu_us=spent / deliveries * 1e6,
        last_ms=[
            (last - moment) * 1000
            for moments, lasts in zip(sent, report["last"], strict=False)
            for moment, last in zip(moments, lasts, strict=True)
        ],
        frame_bytes=report["bytes"] / deliveries,
        missing=report["missing"] + report["lost"],
    )
