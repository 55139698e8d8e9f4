"""What bookings cost while Redis is away altogether: the same server in turns with its Valkey and without.

    python -m bench.booking.no_redis

A round is 64 clients booking distinct slots, then slots that all of them want at once, as in bench.booking.run; the
first round of each kind warms up and is not counted. Without Valkey sessions are read from PostgreSQL, limits and locks
hold in the process alone, and events wait for the sweep. What counts is the ratio within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence

from bench.booking.ours import ours
from bench.booking.plan import plans
from bench.booking.run import HEAD, Contender
from bench.services import services


async def compare(rounds: int, each: int, hot: int, pool: int) -> None:
    """Run both in turns; print medians and their ratio. Raises ValueError when a slot was booked twice."""
    async with services() as running, ours(running, pool) as mine:
        shares = plans(mine.slots, 2 * rounds + 1, each, hot)
        there = Contender("with Redis", mine.port, mine.pids, mine.booking, shares[0::2])
        away = Contender("Redis away", mine.port, mine.pids, mine.booking, shares[1::2])
        for number in range(rounds + 1):
            await there.book(running, number)
            await running.valkey.kill()
            await away.book(running, number)
            await running.valkey.start()
        ratio = statistics.median(a / b for a, b in zip(away.rates(), there.rates(), strict=True))
    print(HEAD)
    print(there.line())
    print(away.line())
    print(f"Redis away / with Redis: {ratio:.2f} (median of {rounds} rounds)")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds of each")
    parser.add_argument("--each", type=int, default=10, help="distinct slots a client and round")
    parser.add_argument("--hot", type=int, default=3, help="slots a round that all 64 clients want")
    parser.add_argument("--pool", type=int, default=20, help="database connections")
    options = parser.parse_args(arguments)
    asyncio.run(compare(options.rounds, options.each, options.hot, options.pool))


if __name__ == "__main__":
    main()
