"""Whether booking and looking up take longer as the months add up: the same clinic after one, six and twelve months.

    python -m bench.year [--months 1 6 12] [--doctors 25] [--rounds 9]

Each month has the same number of consultations, each with its slot, payment, ledger entry, room and line in the trail.
The databases stand in one PostgreSQL and are asked in turns, call by call, by the product's own functions, on one
connection each; the first round warms up and is not counted. What counts is the median of the ratios of calls that
followed each other, the longest history's to the shortest's. Beside it stand the pages of tables and indexes that an
act touches in each, and the partitions of consultations, which no other load on the machine blurs.

A year of the full size is 36 million consultations. Its trees are deeper than these by what the last line says.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from bench.services import Services, services
from bench.year.acts import ACTS, Clinic, clinic, register, settings_of
from bench.year.fill import Size, add_months, first_days, tidy
from server.up.postgres import OWNER

MOST = 1.3
FULL_YEAR = 36_000_000
KEYS_A_PAGE = 200  # of a B-tree of ids, pages two thirds full
TOUCHED = """
    select coalesce(sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit), 0)::bigint
      from pg_statio_user_tables
"""
SCANS = """
    select relname, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) as scans from pg_stat_user_tables
     where relname ~ '^consultations_'
"""


@dataclass
class History:
    """A clinic of so many months, the milliseconds of each call of each act, and what it touches."""

    months: int
    name: str
    open: Clinic
    taken: dict[str, list[float]] = field(default_factory=lambda: {act: [] for act in ACTS})
    pages: dict[str, float] = field(default_factory=dict[str, float])
    partitions: dict[str, int] = field(default_factory=dict[str, int])

    async def time(self, act: str, n: int) -> None:
        """The nth call of an act."""
        begun = time.perf_counter()
        await self.open.acts[act](n)
        self.taken[act].append((time.perf_counter() - begun) * 1000)

    async def count(self, running: Services, act: str, calls: range) -> None:
        """How many pages an act touches, and how many partitions of consultations, by PostgreSQL's own count."""
        *most, last = calls
        link = await asyncpg.connect(running.postgres.url(OWNER, self.name))
        do = self.open.acts[act]
        try:
            await self._flush()
            before = await link.fetchval(TOUCHED)
            for n in most:
                await do(n)
            await self._flush()
            self.pages[act] = (await link.fetchval(TOUCHED) - before) / len(most)
            scans = await link.fetch(SCANS)
            await do(last)
            await self._flush()
            self.partitions[act] = len({tuple(row) for row in await link.fetch(SCANS)} - {tuple(row) for row in scans})
        finally:
            await link.close()

    async def _flush(self) -> None:
        await self.open.database.brief(lambda tx: tx.conn.execute("select pg_stat_force_next_flush()"))
        await self.open.database.brief(lambda tx: tx.conn.execute("select 1"))


async def compare(months: Sequence[int], size: Size, rounds: int, times: int) -> bool:
    """Fill, time in turns, print; whether no act takes longer with the months."""
    if (rounds + 2) * times > size.free:
        raise ValueError(f"{(rounds + 2) * times} free slots are needed, and there are {size.free}")
    async with services() as running, contextlib.AsyncExitStack() as stack:
        names = await _fill(running, sorted(months), size)
        histories = [
            History(count, name, await stack.enter_async_context(clinic(running, name)))
            for count, name in names.items()
        ]
        calls = [range(number * times, (number + 1) * times) for number in range(rounds + 2)]
        for number, of_round in enumerate(calls[:-1]):
            for act in ACTS:
                for n in of_round:
                    # Whoever goes first in one call goes last in the next.
                    for history in histories if n % 2 else histories[::-1]:
                        await history.time(act, n)
                if number == 0:
                    for history in histories:
                        history.taken[act].clear()
        for history in histories:
            for act in ACTS:
                await history.count(running, act, calls[-1])
        return _report(histories, size)


async def _fill(running: Services, months: Sequence[int], size: Size) -> dict[int, str]:
    """A database for each number of months: each stands on a copy of the one before."""
    names: dict[int, str] = {}
    before = 0
    for count in months:
        begun = time.perf_counter()
        name = names[count] = f"year_{count}"
        if before == 0:
            await running.create_schema(name)
            await register(settings_of(running, name), size.regulars)
            await first_days(running, name, size)
        else:
            await running.sql("postgres", f"create database {name} template year_{before};\nselect 1")
        await add_months(running, name, size, range(before, count))
        await tidy(running, name)
        megabytes = int(await running.sql(name, f"select pg_database_size('{name}')")) / 1e6
        held = size.a_month * count
        print(
            f"{count} months: {held} consultations, {megabytes:.0f} MB, {time.perf_counter() - begun:.0f} s", flush=True
        )
        before = count
    return names


def _report(histories: Sequence[History], size: Size) -> bool:
    least, most = histories[0], histories[-1]
    heads = "".join(f"{f'{history.months} months':>12}" for history in histories)
    print(f"\n{'milliseconds':<26}{heads}{'ratio':>8}{'pages':>16}{'partitions':>12}")
    worst = 0.0
    for act in ACTS:
        ratio = statistics.median(b / a for a, b in zip(least.taken[act], most.taken[act], strict=True))
        worst = max(worst, ratio)
        times = "".join(f"{statistics.median(history.taken[act]):>12.2f}" for history in histories)
        pages = " ".join(f"{history.pages[act]:.0f}" for history in histories)
        parts = " ".join(f"{history.partitions[act]}" for history in histories)
        print(f"{act:<26}{times}{ratio:>8.2f}{pages:>16}{parts:>12}")
    rows = size.a_month * most.months
    times = FULL_YEAR / rows
    print(
        f"the worst ratio: {worst:.2f}, at most {MOST}\n"
        f"a full year has {times:.0f} times as many consultations as {rows}:"
        f" {math.log(times, KEYS_A_PAGE):.1f} levels more in each tree over all months, a page each"
    )
    return worst <= MOST


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 1 where an act takes longer with the months."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--months", type=int, nargs="+", default=[1, 6, 12], help="how long each clinic exists")
    parser.add_argument("--doctors", type=int, default=25, help="each has 600 consultations a month")
    parser.add_argument("--rounds", type=int, default=9, help="counted rounds")
    parser.add_argument("--times", type=int, default=40, help="how often a round does each act")
    options = parser.parse_args(arguments)
    size = Size(options.doctors)
    sys.exit(not asyncio.run(compare(options.months, size, options.rounds, options.times)))


if __name__ == "__main__":
    main()
