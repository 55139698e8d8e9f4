"""Bookings a second: this server, the seed's own stack, and pgbench doing only the SQL, in turns on one machine.

    python -m bench.booking.run

All three use one embedded PostgreSQL (durable) and one Valkey, each with a database of its own. Each server is one
process with the same number of database connections; ours has its worker running too. A round is 64 clients booking
distinct slots, then slots that all of them want at once; the first round warms up and is not counted. No slot may be
booked twice; who is refused for being busy is counted and is no booking. What counts are the ratios within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.booking.limit import bookings_a_second, prepare
from bench.booking.ours import ours
from bench.booking.peer import peer
from bench.booking.plan import CLIENTS, Plan, Slot, needed, plans
from bench.load import Round, drive
from bench.services import Services, cpu_seconds, services

FLOOR = 3.0
HEAD = (
    f"{'':<24}{'bookings/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'CPU ms each':>13}"
    f"{'hot answers/s':>15}{'hot p99 ms':>12}{'503':>6}"
)


@dataclass
class Contender:
    """One server under test, and its rounds."""

    name: str
    port: int
    pids: Sequence[int]
    booking: Callable[[int, Slot], bytes]
    plans: Sequence[Plan]
    distinct: list[Round] = field(default_factory=list[Round])
    hot: list[Round] = field(default_factory=list[Round])
    cpu_ms: list[float] = field(default_factory=list[float])

    async def book(self, running: Services, number: int) -> None:
        """Run the round of that number. Raises ValueError when a slot was booked twice or an answer surprises."""
        plan = self.plans[number]
        scripts = [[self.booking(n, slot) for slot in slots] for n, slots in enumerate(plan.distinct)]
        asked = sum(len(script) for script in scripts)
        before = self._spent(running)
        distinct = await drive(self.port, scripts)
        self.cpu_ms.append((self._spent(running) - before) / asked * 1000)
        self._check(distinct, asked, {201, 503})
        hot = await drive(self.port, [[self.booking(n, slot) for slot in plan.hot] for n in range(CLIENTS)])
        self._check(hot, len(plan.hot), {201, 409, 503})
        self.distinct.append(distinct)
        self.hot.append(hot)

    def rates(self) -> list[float]:
        """Bookings a second, of each counted round."""
        return [r.rate(201) for r in self.distinct[1:]]

    def line(self) -> str:
        """Medians over the counted rounds."""
        middle = statistics.median(r.percentile(0.5) for r in self.distinct[1:])
        slow = statistics.median(r.percentile(0.99) for r in self.distinct[1:])
        crowd = statistics.median(sum(r.statuses.values()) / r.seconds for r in self.hot[1:])
        last = statistics.median(r.percentile(0.99) for r in self.hot[1:])
        cpu = statistics.median(self.cpu_ms[1:])
        away = sum(r.statuses[503] for r in (*self.distinct[1:], *self.hot[1:]))
        rate = statistics.median(self.rates())
        return (
            f"{self.name:<24}{rate:>12.0f}{middle:>10.0f}{slow:>10.0f}{cpu:>13.2f}{crowd:>15.0f}{last:>12.0f}{away:>6}"
        )

    def _check(self, result: Round, slots: int, allowed: set[int]) -> None:
        if result.statuses[201] > slots or not set(result.statuses) <= allowed:
            raise ValueError(f"{self.name}: {slots} slots, {dict(result.statuses)}; one refusal: {result.refused}")

    def _spent(self, running: Services) -> float:
        return running.postgres_seconds() + sum(cpu_seconds(pid) for pid in self.pids)


async def compare(rounds: int, each: int, hot: int, pool: int) -> float:
    """Run all three in turns, print medians and ratios; the ratio of ours to the peer."""
    async with services() as running, ours(running, pool) as mine:
        async with peer(running, needed(rounds, each, hot), pool) as seed:
            await prepare(running, (rounds + 1) * CLIENTS * each)
            us = Contender("amrutam", mine.port, mine.pids, mine.booking, plans(mine.slots, rounds, each, hot))
            them = Contender(
                "the seed's stack", seed.port, [seed.pid], seed.booking, plans(seed.slots, rounds, each, hot)
            )
            limits: list[float] = []
            for number in range(rounds + 1):
                # Whoever goes first in one round goes last in the next.
                for contender in (us, them) if number % 2 else (them, us):
                    await contender.book(running, number)
                limits.append(await bookings_a_second(running, CLIENTS * each // pool, pool))
                if number == 0:
                    # As autovacuum does within a minute: plans made for empty tables read the filled ones whole.
                    for database in ("amrutam", "seed", "sql_alone"):
                        await running.sql(database, "analyze")
        return _report(us, them, limits[1:])


def _report(us: Contender, them: Contender, limits: Sequence[float]) -> float:
    ratio = statistics.median(a / b for a, b in zip(us.rates(), them.rates(), strict=True))
    of_limit = statistics.median(a / b for a, b in zip(us.rates(), limits, strict=True))
    print(HEAD)
    print(us.line())
    print(them.line())
    print(f"{'pgbench, the SQL alone':<24}{statistics.median(limits):>12.0f}")
    print(
        f"amrutam / the seed's stack: {ratio:.2f}; amrutam / pgbench: {of_limit:.2f} (medians of {len(limits)} rounds)"
    )
    return ratio


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 1 below the floor of three times the peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--each", type=int, default=20, help="distinct slots a client and round")
    parser.add_argument("--hot", type=int, default=5, help="slots a round that all 64 clients want")
    parser.add_argument("--pool", type=int, default=20, help="database connections of each server")
    options = parser.parse_args(arguments)
    ratio = asyncio.run(compare(options.rounds, options.each, options.hot, options.pool))
    sys.exit(ratio < FLOOR)


if __name__ == "__main__":
    main()
