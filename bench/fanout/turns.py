"""All contenders of a bench in turns, and the table that comes of it."""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from bench.fanout.contenders import make_doctors, node, ours, python_socketio
from bench.services import Services, services

CONTENDERS = {"amrutam": ours, "python-socketio": python_socketio, "socket.io (Node)": node}
Table = dict[str, dict[str, list[float]]]
"""Every round's figures, by what was measured and by contender."""
OneRound = Callable[[Services, str], Awaitable[dict[str, float]]]


async def in_turns(rounds: int, names: Sequence[str], rooms: int, one_round: OneRound) -> Table:
    """As many rounds of each, on one set of services; whoever comes first in one round comes last in the next."""
    table: Table = defaultdict(lambda: defaultdict(list))
    async with services() as running:
        await make_doctors(running, rooms)
        for number in range(rounds):
            for name in names if number % 2 == 0 else reversed(names):
                sys.stderr.write(f"round {number + 1}: {name}\n")
                for what, value in (await one_round(running, name)).items():
                    table[what][name].append(value)
    return table


def print_medians(table: Table, names: Sequence[str], width: int) -> None:
    """A line for each thing measured, a column for each contender."""
    print(f"{'':<{width}}" + "".join(f"{name:>18}" for name in names))
    for what, values in table.items():
        print(f"{what:<{width}}" + "".join(f"{statistics.median(values[name]):>18.2f}" for name in names))
