"""Delivery in a storm: processes and services killed, cut and frozen; every watcher ends with exactly its events."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest
from pydantic import SecretStr

from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.database import Database
from server.core.errors import Problem
from server.core.ids import DoctorId, SlotId, new_id
from server.core.models import rfc3339
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.tasks import end_tasks
from server.core.tx import Tx
from server.core.valkey import connect_redis
from server.scheduling import PublicSlot, SlotChanged, SlotStatus
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House
from tests.lean import Watcher
from tests.processes import Program, ready, served
from tests.proxy import proxy_to
from tests.storm import Stage, judge, stories, storm

SEED = 20_261_125
LATEST_SECONDS = 1.5
LOG = """
    select room, number, at, coalesce(
             case when current_setting('track_commit_timestamp') = 'on' then pg_xact_commit_timestamp(xmin) end, at
           ) as committed
      from room_events where room = any($1)
"""
AGAIN = (aiohttp.ClientError, asyncio.TimeoutError, OSError)


def change_of(doctor_id: DoctorId, tx: Tx) -> SlotChanged:
    """A slot of this doctor has changed."""
    slot = PublicSlot(
        id=SlotId(new_id(tx.now)),
        doctor_id=doctor_id,
        start_time=tx.now,
        end_time=tx.now + timedelta(minutes=15),
        status=SlotStatus.BOOKED,
        version=1,
    )
    return SlotChanged(doctor_id=doctor_id, slot=slot)


@dataclass
class Standing:
    """A server process, and where it answers."""

    program: Program
    base: str

    @property
    def pid(self) -> int:
        """Its process."""
        return self.program.pid

    async def kill(self) -> None:
        """kill -9."""
        await self.program.kill()

    async def start(self) -> None:
        """Start it again."""
        await self.program.start()

    async def stands(self) -> None:
        """Wait until it answers."""
        await ready(self.base, self.program)


@dataclass
class Pens:
    """Two ways to write events: one publishes what it committed, the other forgets to."""

    loud: Database
    silent: Database
    silenced: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Room and `at` of what was not published."""

    async def append(self, room: str, published: bool) -> None:
        """Commit one event of a slots room, however often it takes."""
        doctor_id = DoctorId(UUID(room.partition(":")[2]))

        async def tell(tx: Tx) -> None:
            tx.emit(change_of(doctor_id, tx))
            if not published:
                self.silenced.add((room, rfc3339(tx.now)))

        database = self.loud if published else self.silent
        while True:
            try:
                await database.write(tell, source="test")
                return
            except Problem:
                await asyncio.sleep(0.05)  # the database is away: the house's client would wait as long


@contextlib.asynccontextmanager
async def pens(settings: Settings) -> AsyncGenerator[Pens]:
    """Both, for as long as the block lasts."""
    cipher, redis = Cipher(settings), connect_redis(settings)
    never_carries = Publisher(redis, cipher)
    async with Publisher(redis, cipher) as publisher:
        loud = await Database.connect(settings, utc_now, cipher, publisher)
        silent = await Database.connect(settings, utc_now, cipher, never_carries)
        try:
            yield Pens(loud, silent)
        finally:
            await loud.close()
            await silent.close()
            await redis.aclose()


async def say(patient: Client, consultation_id: str, bases: list[str]) -> None:
    """A line of chat through whichever instance answers, under one client's id until it is acknowledged."""
    said = uuid4().hex
    for base in bases * 500:
        try:
            path = f"/consultations/{consultation_id}/messages"
            answer = await patient.post(path, key=None, base=base, client_id=said, text="ठीक है")
            if answer.status == 201:
                return
            assert answer.status in (503, 409), answer.text
        except AGAIN:
            pass  # that instance is down; the other one answers
        await asyncio.sleep(0.05)
    raise AssertionError("nobody took the line")


async def the_log(house: House, rooms: list[str]) -> dict[str, dict[int, tuple[str, float]]]:
    """What the log holds, and when it was committed: where the database does not keep that, when it was begun."""
    found: dict[str, dict[int, tuple[str, float]]] = {room: {} for room in rooms}
    for row in await house.sql(LOG, rooms):
        found[row["room"]][row["number"]] = (rfc3339(row["at"]), row["committed"].timestamp())
    return found


@pytest.fixture
async def keeps_commits(services: Services, owner_url: str) -> AsyncGenerator[None]:
    """A database that keeps when each transaction was committed.

    An event's `at` is when its transaction was begun: on a machine that is busy elsewhere that was a second earlier,
    and nothing can bring an event before its commit.
    """
    conn = await asyncpg.connect(owner_url)
    await conn.execute("alter system set track_commit_timestamp = on")
    await conn.close()
    await services.pg.restart()
    yield
    conn = await asyncpg.connect(owner_url)
    await conn.execute("alter system reset track_commit_timestamp")
    await conn.close()


@pytest.mark.chaos
@pytest.mark.usefixtures("keeps_commits")
async def test_a_hundred_watchers_end_with_exactly_their_events_whatever_is_killed_under_them(
    services: Services, settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    rng = random.Random(SEED)
    # Few people with many sockets each; a killed instance's are counted for another quarter of a minute.
    settings = settings.model_copy(update={"sockets_a_user": 100})
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(services.valkey.url))
        behind = settings.model_copy(update={"redis_url": SecretStr(proxy.redis_url)})
        one, here = await stack.enter_async_context(served(settings, log=tmp_path / "one.log"))
        other, there = await stack.enter_async_context(served(behind, log=tmp_path / "other.log"))
        pen = await stack.enter_async_context(pens(settings))
        timeout = aiohttp.ClientTimeout(3)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout)
        )
        house = House(settings, [], [here, there], http, owner_url)
        cast = await Cast.sign_in(house, PASSWORD)
        talks = [await cast.booked(patient, cast.dr_rao) for patient in (cast.asha, cast.vik)]
        doctors = [str(row["id"]) for row in await house.sql("select id from doctors order by id limit 8")]
        slots, talk_rooms = [f"slots:{id_}" for id_ in doctors], [f"consultation:{talk['id']}" for talk in talks]
        people = dict(zip(talk_rooms, (cast.asha, cast.vik), strict=True))

        async def append(room: str, published: bool) -> None:
            if room in people:
                await say(people[room], room.partition(":")[2], rng.sample(house.bases, 2))
            else:
                await pen.append(room, published)

        async def restart_database() -> None:
            await services.pg.kill()
            await services.pg.start()

        watchers = [Watcher(house.bases[n % 2], tuple(rng.sample(slots, 2)), random.Random(n)) for n in range(84)]
        for room, patient in people.items():
            for n in range(8):
                who = patient if n < 4 else cast.dr_rao
                watchers.append(Watcher(house.bases[n % 2], (room,), random.Random(n), token=who.token))
        instances = (Standing(one, here), Standing(other, there))
        stage = Stage(instances, services.valkey, proxy, [*slots, *talk_rooms], append, restart_database, rng)
        stage.silent = pen.silenced
        tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
        try:
            async with asyncio.timeout(15):
                while not all(watcher.watches_all() for watcher in watchers):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await storm(stage, watchers)
            log = await the_log(house, [*slots, *talk_rooms])
            heads = {room: max(lines) for room, lines in log.items()}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(15):
                    while any(w.offsets[room] < heads[room] for w in watchers for room in w.rooms):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
        finally:
            await end_tasks(tasks)
        verdict = judge(watchers, log, stage)
        assert stage.appended > 500
        assert stage.unpublished > 0
        assert verdict.owed > 8_000
        assert (verdict.missing, verdict.surplus) == (0, 0)
        assert [message for watcher in watchers for message in watcher.resyncs] == []
        # Who knocked while the database was away was asked to come again.
        assert {refusal["data"]["status"] for watcher in watchers for refusal in watcher.refused} <= {503}
        assert '"levelname": "ERROR"' not in one.said + other.said
        # What the machine held up, here or a server that wanted to run, is no delay of the server's.
        assert verdict.latest < LATEST_SECONDS, "\n".join(["", *stories(stage, verdict, LATEST_SECONDS)])
        assert sum(len(watcher.connected) for watcher in watchers) > 300
