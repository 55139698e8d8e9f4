"""What an event costs an instance that has nobody to tell it to: eight instances, rooms held by two of them.

    python -m bench.fanout.bystander [--rounds 3] [--only NAME] [--json FILE]

Each server's eight processes share one Redis. Two of them have one client in each of ten rooms, the other six each a
client in a room of its own, so that they are as awake as any. Then the ten rooms get 2,000 events, and the processor
time of the six is counted, less what they use when nothing is sent (measured before and after, for as long), per event.
Every event must reach its two clients, once. Only ratios within one run mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.fanout.contenders import Contender
from bench.fanout.lines import Child, child
from bench.fanout.measure import REPORT_SECONDS, cpu
from bench.fanout.turns import CONTENDERS, Table, in_turns, print_medians
from bench.services import Services

INSTANCES, HOLDERS, ROOMS = 8, 2, 10
BATCHES, INTERVAL = 200, 0.05  # a batch is an event in each room: 200 events a second
WARM_UP_BATCHES = 20
SETTLE_SECONDS = 2.0
MOST_US = 5.0


async def seat(watchers: Child, contender: Contender) -> None:
    """A client in each room on each holder, and one in its own room on each bystander."""
    clients = [(port, room, contender.join(room)) for port, _ in contender.servers[:HOLDERS] for room in range(ROOMS)]
    clients += [(port, room, contender.join(room)) for room, (port, _) in enumerate(contender.servers[HOLDERS:], ROOMS)]
    await watchers.ask(do="connect", path=contender.path, origin=contender.origin, clients=clients)


async def told(watchers: Child, contender: Contender, batches: int) -> list[float]:
    """Seconds of processor that each process used while so many batches came to the rooms. Raises ValueError."""
    await watchers.ask(do="begin", expected=[batches] * ROOMS + [0] * (INSTANCES - HOLDERS))
    before = _used(contender)
    await contender.emit([[(room, 1) for room in range(ROOMS)]] * batches, INTERVAL)
    report = await watchers.ask(do="report", seconds=REPORT_SECONDS)
    used = _since(before, contender)
    if report["missing"] or report["lost"]:
        raise ValueError(f"{contender.name}: {report['missing']} frames are missing or came twice")
    return used


async def resting(contender: Contender) -> list[float]:
    """Seconds of processor that each process uses in as long a time when nothing is sent."""
    await asyncio.sleep(SETTLE_SECONDS)
    before = _used(contender)
    await asyncio.sleep(BATCHES * INTERVAL)
    return _since(before, contender)


async def one_round(running: Services, name: str) -> dict[str, float]:
    """Microseconds an event costs a bystander and a holder, of one contender started for it."""
    command = [sys.executable, "-m", "bench.fanout.watchers"]
    rooms = ROOMS + INSTANCES - HOLDERS
    async with (
        CONTENDERS[name](running, rooms, INSTANCES) as contender,
        child(command, running.folder / "watchers.log") as watchers,
    ):
        await seat(watchers, contender)
        await told(watchers, contender, WARM_UP_BATCHES)
        before = await resting(contender)
        used = await told(watchers, contender, BATCHES)
        after = await resting(contender)
    rest = [(first + second) / 2 for first, second in zip(before, after, strict=True)]
    cost = [(all_ - idle) / (BATCHES * ROOMS) * 1e6 for all_, idle in zip(used, rest, strict=True)]
    return {
        "a bystander: CPU us an event": statistics.mean(cost[HOLDERS:]),
        "a holder: CPU us an event": statistics.mean(cost[:HOLDERS]),
        "idle: CPU ms a second": statistics.mean(rest) / (BATCHES * INTERVAL) * 1000,
    }


def _used(contender: Contender) -> list[float]:
    return [cpu(pid) for _, pid in contender.servers]


def _since(before: Sequence[float], contender: Contender) -> list[float]:
    return [now - then for now, then in zip(_used(contender), before, strict=True)]


def report(table: Table, names: Sequence[str]) -> bool:
    """Print medians; whether a bystander of ours pays no more than was promised."""
    print_medians(table, names, 32)
    if "amrutam" not in names:
        return True
    mine = statistics.median(table["a bystander: CPU us an event"]["amrutam"])
    said = "kept" if mine <= MOST_US else "MISSED"
    print(f"an event costs a bystander {mine:.2f} us (at most {MOST_US:.0f}: {said})")
    return mine <= MOST_US


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 1 when the promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(CONTENDERS), action="append", help="leave the others out")
    parser.add_argument("--json", type=Path, help="where to write every round's figures")
    options = parser.parse_args(arguments)
    names = options.only or list(CONTENDERS)
    table = asyncio.run(in_turns(options.rounds, names, ROOMS + INSTANCES - HOLDERS, one_round))
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))
    sys.exit(not report(table, names))


if __name__ == "__main__":
    main()
