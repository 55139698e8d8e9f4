"""From a commit to every watcher: three instances, 1,000 watchers in 100 rooms, 200 slot changes a second.

    python -m bench.fanout.instances [--rounds 3] [--clients 1000] [--seconds 20] [--only NAME] [--json FILE]

This server's events are real `slot.changed` events, each a transaction of its own, committed to a durable PostgreSQL
and published by the product from a process beside the instances; the others' come from their own official emitters,
which store nothing. Each room's watchers are spread over the instances. Every delivery is timed: from the moment after
the commit (the others': the emitter's call) until the client has read the frame. All of it, clients and database too,
runs on this one machine. Every frame must arrive, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.fanout.contenders import Contender
from bench.fanout.lines import Child, child
from bench.fanout.measure import REPORT_SECONDS, connect, cpu
from bench.fanout.turns import CONTENDERS, Table, in_turns, print_medians
from bench.services import Services

INSTANCES = 3
RATE = 200
WARM_UP_SECONDS = 2
MOST_MS = 50.0


@dataclass(frozen=True)
class Size:
    """How large a round is."""

    clients: int
    rooms: int
    seconds: int


async def deliveries(watchers: Child, contender: Contender, rooms: int, seconds: int) -> list[float]:
    """Emit for so long, an event after the other over all rooms; each delivery's milliseconds. Raises ValueError."""
    batches = [[(number % rooms, 1)] for number in range(RATE * seconds)]
    expected = [len(range(room, len(batches), rooms)) for room in range(rooms)]
    await watchers.ask(do="begin", expected=expected, every=True)
    sent = await contender.emit(batches, 1 / RATE)
    report = await watchers.ask(do="report", seconds=REPORT_SECONDS)
    if report["missing"] or report["lost"]:
        raise ValueError(f"{contender.name}: {report['missing']} frames are missing or came twice")
    came: list[list[list[float]]] = report["every"]
    return [
        (moment - began) * 1000
        for moments, events in zip(sent, came, strict=True)
        for began, clients in zip(moments, events, strict=True)
        for moment in clients
    ]


async def one_round(running: Services, name: str, size: Size) -> dict[str, float]:
    """Every figure of one contender, started for it."""
    command = [sys.executable, "-m", "bench.fanout.watchers"]
    async with (
        CONTENDERS[name](running, size.rooms, INSTANCES) as contender,
        child(command, running.folder / "watchers.log") as watchers,
    ):
        await connect(watchers, contender, size.clients, size.rooms)
        await deliveries(watchers, contender, size.rooms, WARM_UP_SECONDS)
        before = sum(cpu(pid) for _, pid in contender.servers)
        times = await deliveries(watchers, contender, size.rooms, size.seconds)
        spent = sum(cpu(pid) for _, pid in contender.servers) - before
    shares = statistics.quantiles(times, n=1000, method="inclusive")
    return {
        "p50 ms": shares[499],
        "p99 ms": shares[989],
        "p99.9 ms": shares[998],
        "slowest ms": max(times),
        "CPU of an instance, %": spent / size.seconds / INSTANCES * 100,
    }


def report(table: Table, names: Sequence[str]) -> bool:
    """Print medians; whether 99 of 100 of our deliveries are as quick as promised."""
    print_medians(table, names, 24)
    if "amrutam" not in names:
        return True
    slow = statistics.median(table["p99 ms"]["amrutam"])
    said = "kept" if slow < MOST_MS else "MISSED"
    print(f"99 of 100 deliveries within {slow:.1f} ms of the commit (under {MOST_MS:.0f}: {said})")
    return slow < MOST_MS


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 1 when the promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rooms", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--only", choices=list(CONTENDERS), action="append", help="leave the others out")
    parser.add_argument("--json", type=Path, help="where to write every round's figures")
    options = parser.parse_args(arguments)
    names = options.only or list(CONTENDERS)
    size = Size(options.clients, options.rooms, options.seconds)
    table = asyncio.run(in_turns(options.rounds, names, size.rooms, partial(one_round, size=size)))
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))
    sys.exit(not report(table, names))


if __name__ == "__main__":
    main()
