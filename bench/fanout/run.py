"""Fan-out beside others: this server, stock python-socketio and Node's socket.io 4, all with Redis, in turns.

    python -m bench.fanout.run [--rounds 3] [--clients 1000] [--rooms 100] [--only NAME] [--json FILE]

All events come from another process, through Redis: this server's are real `slot.changed` events, committed with
their numbers and their log and published by the product; the others' come from their own official emitters. The body
is 200 bytes; this server's frames are longer by the room, the number and the time that they carry. One process a
server, started anew each round; 1,000 raw WebSocket clients with a browser's headers, permessage-deflate offered, first
in one room and then over 100. What is counted is the processor time of the server's process alone (database, Redis,
emitter and clients are other processes), less what it uses when nothing is sent, per frame delivered: paced (one event
at a time), back to back (all at once, this server's in one transaction) and in bursts of ten to a room. The last client
is timed from the emitter's call (ours: from the commit). Every frame must arrive, once. Only ratios within one run
mean anything.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.fanout.lines import Child, child
from bench.fanout.measure import Figures, Load, connect, idle, memory, put
from bench.fanout.turns import CONTENDERS, Table, in_turns, print_medians
from bench.services import Services

STYLES = ("paced", "back to back", "bursts of ten")
PROMISES = (
    # what, a peer, the figure, ours at most this share of it
    ("python-socketio", "one room, paced: CPU us", 1 / 6),
    ("socket.io (Node)", "one room, paced: CPU us", 0.6),
    ("python-socketio", "one room, bursts of ten: CPU us", 1 / 50),
    ("socket.io (Node)", "one room, bursts of ten: CPU us", 1 / 5),
    ("python-socketio", "one room, paced: last p50 ms", 1 / 4),
    ("socket.io (Node)", "one room, paced: last p50 ms", 1.0),
    ("socket.io (Node)", "kB a connection", 1.0),
)


def loads(rooms: int) -> dict[str, Load]:
    """The three ways; the paces leave the slowest server time to rest between two events."""
    if rooms == 1:
        return {
            "paced": Load([[(0, 1)]] * 40, 0.25),
            "back to back": Load([[(0, 200)]], 0),
            "bursts of ten": Load([[(0, 10)]] * 10, 1.0),
        }
    return {
        "paced": Load([[(n % rooms, 1)] for n in range(4 * rooms)], 0.02),
        "back to back": Load([[(n % rooms, 1) for n in range(20 * rooms)]], 0),
        "bursts of ten": Load([[(n % rooms, 10)] for n in range(rooms)], 0.08),
    }


async def one_round(running: Services, name: str, clients: int, rooms: int) -> dict[str, float]:
    """Every figure of one contender, started for it."""
    figures: dict[str, float] = {}
    watchers_log = running.folder / "watchers.log"
    command = [sys.executable, "-m", "bench.fanout.watchers"]
    async with CONTENDERS[name](running, rooms) as contender, child(command, watchers_log) as watchers:
        figures["kB a connection"] = await memory(watchers, contender, clients, 1)
        for count, where in ((1, "one room"), (rooms, f"{rooms} rooms")):
            if count > 1:
                await watchers.ask(do="close")
                await connect(watchers, contender, clients, count)
                await asyncio.sleep(1)
            resting = await idle([pid for _, pid in contender.servers])
            figures[f"{where}, idle: CPU ms a second"] = resting * 1000
            for style, load in loads(count).items():
                figures |= _named(f"{where}, {style}", await _put(watchers, contender, load, clients, count, resting))
    return figures


async def _put(watchers: Child, contender: Any, load: Load, clients: int, rooms: int, resting: float) -> Figures:
    found = await put(watchers, contender, load, clients, rooms, resting)
    if found.missing:
        raise ValueError(f"{contender.name}: {found.missing} frames are missing or came twice")
    return found


def _named(what: str, figures: Figures) -> dict[str, float]:
    return {
        f"{what}: CPU us": figures.cpu_us,
        f"{what}: last p50 ms": figures.percentile(0.5),
        f"{what}: last p99 ms": figures.percentile(0.99),
        f"{what}: bytes": figures.frame_bytes,
    }


def report(table: Table, names: Sequence[str]) -> bool:
    """Print medians and the promises; whether all are kept."""
    print_medians(table, names, 40)
    kept = True
    for peer, what, most in PROMISES:
        if peer in names and "amrutam" in names:
            pairs = zip(table[what]["amrutam"], table[what][peer], strict=True)
            ratio = statistics.median(mine / theirs for mine, theirs in pairs)
            kept = kept and ratio <= most
            said = "kept" if ratio <= most else "MISSED"
            print(f"{what}, amrutam / {peer}: {ratio:.3f} (at most {most:.3f}: {said})")
    return kept


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 1 when a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--rooms", type=int, default=100)
    parser.add_argument("--only", choices=list(CONTENDERS), action="append", help="leave the others out")
    parser.add_argument("--json", type=Path, help="where to write every round's figures")
    options = parser.parse_args(arguments)
    names = options.only or list(CONTENDERS)
    one = partial(one_round, clients=options.clients, rooms=options.rooms)
    table = asyncio.run(in_turns(options.rounds, names, options.rooms, one))
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))
    sys.exit(not report(table, names))


if __name__ == "__main__":
    main()
