"""What events cost a booking: the same booking with its events, with events that no room hears, and with none.

    python -m bench.fanout.event_cost [--rounds 5] [--each 320] [--json FILE]

The product's own `book_slot` in this process, on the real schema in an embedded, durable PostgreSQL, with an
idempotency key as over HTTP and published through Valkey; the three kinds in turns, `--each` bookings a round and
kind, half of them one after the other and half sixteen at once on eight doctors. As it is, a booking emits three
events: three rows in the outbox, two numbers in the rooms of slots and queue, two entries of the log, two frames
published after the commit. `outbox alone` emits as many events of the same size that no room hears; `no events` only
keeps the reply under its key. The first round warms up. What counts are the differences within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import psutil
from asyncpg import Record

from bench.booking.limit import prepare
from bench.fanout.measure import cpu
from bench.fanout.turns import Table
from bench.services import Services, services
from server.booking import BookSlot, book_slot
from server.consultations import Consultation
from server.core.cipher import Cipher, Place
from server.core.clock import shifted_clock
from server.core.database import Database
from server.core.events import Event
from server.core.idempotency import body_hash
from server.core.ids import PatientId, SlotId, UserId
from server.core.outbox import StoredReply
from server.core.privacy import Level
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.tx import Actor, IdempotencyKey, Role, Tx
from server.core.valkey import connect_redis
from server.up.postgres import APPLICATION

DATABASE = "sql_alone"  # what bench.booking.limit prepares
AT_ONCE = 16
ROUTE = "POST /consultations"


class Unheard(Event, name="bench.unheard"):
    """As much to store as another event, and nobody in any room to tell it to."""

    said: Annotated[str, Level.CRITICAL]


def as_it_is(events: list[Event]) -> None:
    """Emit what the booking emits."""


def outbox_alone(events: list[Event]) -> None:
    """Emit as many events of the same size that no room hears."""
    events[:] = [Unheard(said=event.model_dump_json()) for event in events]


def no_events(events: list[Event]) -> None:
    """Emit nothing."""
    events.clear()


KINDS: dict[str, Callable[[list[Event]], None]] = {
    "as it is": as_it_is,
    "outbox alone": outbox_alone,
    "no events": no_events,
}


@dataclass(frozen=True)
class Wanted:
    """A slot and who books it."""

    slot_id: SlotId
    actor: Actor

    @classmethod
    def of(cls, row: Record) -> Wanted:
        """From a row of bench_bookings: there a patient's id is the user's too."""
        who: UUID = row["patient_id"]
        actor = Actor(Role.PATIENT, UserId(who), PatientId(who), row["patient_n"])
        return cls(SlotId(row["slot_id"]), actor)


class Desk:
    """Books, and measures what it took."""

    def __init__(self, running: Services, database: Database, settings: Settings) -> None:
        self._running = running
        self._database = database
        self._settings = settings

    async def measure(self, kind: str, wanted: Sequence[Wanted]) -> dict[str, float]:
        """Book these, half one by one and half in a crowd; each figure is of one booking."""
        half = len(wanted) // 2
        postgres, own, wal = self._of_postgres(), cpu(os.getpid()), await self._wal()
        times: list[float] = []
        for each in wanted[:half]:
            began = time.perf_counter()
            await self._book(kind, each)
            times.append(time.perf_counter() - began)
        crowd = list(reversed(wanted[half:]))
        began = time.perf_counter()

        async def clerk() -> None:
            while crowd:
                await self._book(kind, crowd.pop())

        await asyncio.gather(*(clerk() for _ in range(AT_ONCE)))
        seconds = time.perf_counter() - began
        after = self._of_postgres()
        used = sum(spent - postgres[pid] for pid, spent in after.items() if pid in postgres)
        return {
            "alone, p50 ms": statistics.median(times) * 1000,
            f"{AT_ONCE} at once, bookings/s": (len(wanted) - half) / seconds,
            "CPU of the server, us": (cpu(os.getpid()) - own) / len(wanted) * 1e6,
            "CPU of PostgreSQL, us": used / len(wanted) * 1e6,
            "log of PostgreSQL, bytes": (await self._wal() - wal) / len(wanted),
        }

    async def _book(self, kind: str, wanted: Wanted) -> Consultation:
        ask = BookSlot(slot_id=wanted.slot_id, reason="Cough")
        hashed = body_hash(ask.model_dump(mode="json"))
        key = IdempotencyKey(wanted.actor.key, ROUTE, str(wanted.slot_id), hashed)

        async def act(tx: Tx) -> Consultation:
            booked = await book_slot(tx, ask, cipher=self._database.cipher, settings=self._settings)
            KINDS[kind](tx.events)
            return booked

        def encode(booked: Consultation) -> StoredReply:
            return StoredReply(201, booked.model_dump_json().encode())

        return await self._database.write(
            act, actor=wanted.actor, request_id=str(wanted.slot_id), key=key, encode=encode, at_once=True
        )

    def _of_postgres(self) -> dict[int, float]:
        parent = psutil.Process(self._running.postgres.child.pid)
        spent: dict[int, float] = {}
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(OSError):
                spent[process.pid] = cpu(process.pid)
        return spent

    async def _wal(self) -> int:
        return int(await self._database.pool.fetchval("select pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))


async def name_everybody(database: Database) -> None:
    """Seal a name for each user, as booking opens it. Run in the application's own role."""
    for row in await database.pool.fetch("select id from users"):
        user_id: UUID = row["id"]

        async def name(tx: Tx, user_id: UUID = user_id) -> None:
            sealed = await database.cipher.seal(tx, user_id, Place("users", "name", user_id), "Asha Verma")
            await tx.conn.execute("update users set name = $2 where id = $1", user_id, sealed)

        await database.write(name)


@contextlib.asynccontextmanager
async def desk(running: Services, bookings: int) -> AsyncGenerator[tuple[Desk, list[Wanted]]]:
    """The product's database layer in this process, and that many free slots with who wants each."""
    await prepare(running, bookings)
    await running.sql(DATABASE, "update doctors set verified_at = now()")
    settings = Settings.model_validate(
        {
            "database_url": running.postgres.url(APPLICATION, DATABASE),
            "redis_url": running.valkey.url,
            "demo": True,
            "pool_min": AT_ONCE,
            "pool_max": AT_ONCE,
        }
    )
    cipher, redis = Cipher(settings), connect_redis(settings)
    async with Publisher(redis, cipher) as publisher:
        database = await Database.connect(settings, shifted_clock(0), cipher, publisher)
        await name_everybody(database)
        rows = await database.pool.fetch("select * from bench_bookings order by n")
        yield Desk(running, database, settings), [Wanted.of(row) for row in rows]
        await database.close()
    await redis.aclose()


async def compare(rounds: int, each: int) -> Table:
    """All kinds in turns; the first round is not counted."""
    table: Table = defaultdict(lambda: defaultdict(list))
    names = list(KINDS)
    async with services() as running, desk(running, (rounds + 1) * len(names) * each) as (clerk, wanted):
        for number in range(rounds + 1):
            sys.stderr.write(f"round {number}\n")
            for name in names if number % 2 == 0 else reversed(names):
                mine, wanted = wanted[:each], wanted[each:]
                found = await clerk.measure(name, mine)
                for what, value in found.items() if number else ():
                    table[what][name].append(value)
    return table


def report(table: Table) -> None:
    """Print medians, and what the events add to a booking that has none."""
    names = list(KINDS)
    print(f"{'a booking':<28}" + "".join(f"{name:>16}" for name in names) + f"{'the events':>16}")
    for what, values in table.items():
        middle = [statistics.median(values[name]) for name in names]
        added = statistics.median(a - b for a, b in zip(values[names[0]], values[names[-1]], strict=True))
        print(f"{what:<28}" + "".join(f"{value:>16.2f}" for value in middle) + f"{added:>+16.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--each", type=int, default=320, help="bookings a round and kind")
    parser.add_argument("--json", type=Path, help="where to write every round's figures")
    options = parser.parse_args(arguments)
    table = asyncio.run(compare(options.rounds, options.each))
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))
    report(table)


if __name__ == "__main__":
    main()
