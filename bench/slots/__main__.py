"""A week of a specialty listed, with lists kept in Redis and without, in turns on one machine.

    python -m bench.slots

A listing is what a client asks for one: the doctors of the specialty, then seven days of slots of each. Two servers of
the same program stand on one embedded PostgreSQL and one Valkey; one of them keeps no lists. A round is some clients
listing one after the other, first at the one, then at the other, the order changing from round to round; the first
round warms up and is not counted. Both must give the same lists. What counts is the ratio within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from bench.load import Connection, connect, request
from bench.services import Services, answers, cpu_seconds, free_port, program, services, wait_for
from bench.slots.clinic import SPECIALTY, open_clinic
from server.core.ids import DoctorId
from server.core.migrate import migrate
from server.core.settings import read_settings

API = "/api/v1"
FLOOR = 5.0


@dataclass
class Contender:
    """One server, what a listing asks of it, and the seconds that each took."""

    name: str
    port: int
    child: subprocess.Popen[bytes]
    script: Sequence[bytes]
    seconds: list[float] = field(default_factory=list[float])
    cpu_ms: list[float] = field(default_factory=list[float])

    async def list_week(self, running: Services, clients: int, each: int, *, counts: bool) -> None:
        """A round. Raises ValueError for an answer that is none."""
        before = running.postgres_seconds() + cpu_seconds(self.child.pid)
        connections = await connect(self.port, clients)
        try:
            taken = await asyncio.gather(*(self._client(connection, each) for connection in connections))
        finally:
            for connection in connections:
                connection.close()
        spent = running.postgres_seconds() + cpu_seconds(self.child.pid) - before
        if counts:
            self.seconds += [seconds for client in taken for seconds in client]
            self.cpu_ms.append(spent / (clients * each) * 1000)

    async def answer(self) -> list[bytes]:
        """The bodies of one listing."""
        (connection,) = await connect(self.port, 1)
        try:
            return [(await connection.ask(prepared)).body for prepared in self.script]
        finally:
            connection.close()

    async def _client(self, connection: Connection, each: int) -> list[float]:
        taken: list[float] = []
        for _ in range(each):
            begun = time.perf_counter()
            for prepared in self.script:
                answer = await connection.ask(prepared)
                if answer.status != 200:
                    raise ValueError(f"{self.name}: {answer.status} {answer.body[:300]!r}")
            taken.append(time.perf_counter() - begun)
        return taken

    def line(self) -> str:
        """Medians of what was counted."""
        middle, cpu = statistics.median(self.seconds) * 1000, statistics.median(self.cpu_ms)
        slow = statistics.quantiles(self.seconds, n=100, method="inclusive")[98] * 1000
        return f"{self.name:<24}{middle:>12.1f}{slow:>12.1f}{cpu:>20.1f}"


@contextlib.asynccontextmanager
async def serving(
    running: Services, name: str, doctors: Sequence[DoctorId], *, cached: bool
) -> AsyncGenerator[Contender]:
    """A server, with its lists kept or not."""
    port = free_port()
    env = _environment(running) | {
        "AMRUTAM_PORT": str(port),
        "AMRUTAM_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "AMRUTAM_LISTS_CACHED": str(cached),
    }
    command = [sys.executable, "-m", "server.cli", "serve"]
    async with program(command, running.folder / f"{name}.log".replace(" ", "-"), env) as child:
        await wait_for(lambda: answers(port), child)
        paths = [f"{API}/doctors?specialty={quote(SPECIALTY)}", *(f"{API}/doctors/{each}/slots" for each in doctors)]
        yield Contender(name, port, child, [request("GET", path, port) for path in paths])


def _environment(running: Services) -> dict[str, str]:
    return {
        "AMRUTAM_DATABASE_URL": running.postgres.app_url,
        "AMRUTAM_REDIS_URL": running.valkey.url,
        "AMRUTAM_LIMIT_FACTOR": "1000",
    }


async def compare(rounds: int, clients: int, each: int, doctors: int) -> float:
    """Run both in turns, print medians; how many times as long the listing takes that is not cached."""
    async with services() as running:
        await migrate(running.postgres.owner_url)
        made = await open_clinic(read_settings(_environment(running)), doctors)
        async with (
            serving(running, "from the database", made, cached=False) as plain,
            serving(running, "from Redis", made, cached=True) as kept,
        ):
            slots = await _agree(plain, kept)
            for number in range(rounds + 1):
                for contender in (plain, kept) if number % 2 else (kept, plain):
                    await contender.list_week(running, clients, each, counts=number > 0)
            await _agree(plain, kept)
        ratio = statistics.median(plain.seconds) / statistics.median(kept.seconds)
        print(f"{doctors} doctors, {slots} slots a listing, {clients} clients, {rounds} rounds of {each} each")
        print(f"{'':<24}{'p50 ms':>12}{'p99 ms':>12}{'CPU ms a listing':>20}")
        print(plain.line())
        print(kept.line())
        print(f"not cached / cached: {ratio:.1f}")
        return ratio


async def _agree(plain: Contender, kept: Contender) -> int:
    """Both list the same; how many slots. Raises ValueError where they do not."""
    one, other = await plain.answer(), await kept.answer()
    if one != other:
        raise ValueError("the two servers list different slots")
    return sum(body.count(b'"start_time"') for body in one)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; exits with 1 below five times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--clients", type=int, default=8, help="clients listing at once")
    parser.add_argument("--each", type=int, default=3, help="listings a client and round")
    parser.add_argument("--doctors", type=int, default=20, help="doctors of the specialty")
    options = parser.parse_args(arguments)
    ratio = asyncio.run(compare(options.rounds, options.clients, options.each, options.doctors))
    sys.exit(ratio < FLOOR)


if __name__ == "__main__":
    main()
