"""Work that is never lost: each event's steps run once, whatever fails, comes twice or goes away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from server.core.database import Database
from server.core.events import EVENTS, Event
from server.core.settings import Settings
from server.core.tasks import end_tasks
from server.core.tx import Run, Tx
from tests.conftest import Services
from tests.house import House, working
from tests.processes import amrutam
from worker import queries
from worker.app import MARKER, open_house
from worker.broker import QUEUE, make_broker
from worker.queries import Delivery
from worker.registry import STEPS, on
from worker.ticks import Tick, keep_ticking


class Knocked(Event, name="test.knocked"):
    """Somebody knocked: an event of these tests alone, known while one of them runs."""

    number: int


del EVENTS[Knocked.name]

LEFT = "test_worker.mark_left"
NEWER = ("test.knocked", "test_worker.mark_right")
MARK = "insert into marks (step, number) values ($1, $2)"


@dataclass
class Door:
    """What a test knocks on: the house's database, and the table that its steps leave marks in."""

    house: House
    database: Database

    async def knock(self, count: int = 1) -> None:
        """Emit events in a transaction, as an operation does."""

        async def emit(tx: Tx) -> None:
            for number in range(count):
                tx.emit(Knocked(number=number))

        await self.database.write(emit, source="test")

    async def all_done(self, count: int, *, seconds: float = 20) -> None:
        """Wait until so many deliveries are done and none is open."""
        await self.house.until(
            "select 1 where (select count(*) from deliveries where done_at is not null and step like 'test_worker.%')"
            " = $1 and not exists (select 1 from deliveries where done_at is null)",
            count,
            seconds=seconds,
        )

    async def marks(self) -> list[tuple[str, int]]:
        """What the steps did."""
        rows = await self.house.sql("select step, number from marks order by step, number")
        return [(row["step"], row["number"]) for row in rows]


@pytest.fixture
def registry() -> Iterator[None]:
    """Steps and the event of a test, forgotten afterwards."""
    steps = dict(STEPS)
    EVENTS[Knocked.name] = Knocked
    yield
    del EVENTS[Knocked.name]
    STEPS.clear()
    STEPS.update(steps)


@pytest.fixture
async def door(registry: None, settings: Settings, owner_url: str) -> AsyncIterator[Door]:
    """A house without servers and, for now, without a worker."""
    async with open_house(settings) as (database, _, _):
        door = Door(House(settings, [], [], None, owner_url), database)  # pyright: ignore[reportArgumentType] - nobody knocks over HTTP
        await door.house.sql("create table marks (step text not null, number int not null)")
        await door.house.sql("grant select, insert on marks to amrutam_app")
        yield door


async def mark_left(tx: Tx, event: Knocked) -> None:
    await tx.conn.execute(MARK, "left", event.number)


async def mark_right(tx: Tx, event: Knocked) -> None:
    await tx.conn.execute(MARK, "right", event.number)


async def test_an_event_becomes_a_delivery_a_step_and_each_is_closed_with_its_effect(
    door: Door, settings: Settings
) -> None:
    on(Knocked)(mark_left)
    on(Knocked)(mark_right)
    async with working(settings):
        await door.knock()
        await door.all_done(2)
    assert await door.marks() == [("left", 0), ("right", 0)]
    same = "select m.xmin = d.xmin as one from marks m join deliveries d on d.step = 'test_worker.mark_' || m.step"
    assert [row["one"] for row in await door.house.sql(same)] == [True, True]


async def test_a_step_that_fails_is_due_again_later_each_time_and_parked_at_the_fifth(
    door: Door, settings: Settings
) -> None:
    broken = True

    async def trip(tx: Tx, event: Knocked) -> None:
        await tx.conn.execute(MARK, "trip", event.number)
        if broken:
            raise RuntimeError("a name that nobody may read in a table")

    on(Knocked)(trip)
    on(Knocked)(mark_right)
    async with working(settings):
        await door.knock()
        for tries in range(1, 5):
            [row] = await door.house.until(
                "select due_at, error from deliveries where tries = $1 and parked_at is null", tries
            )
            most = 2.0 * 2 ** (tries - 1) * 1.25
            pause = (row["due_at"] - door.database.clock()).total_seconds()
            assert most * 0.6 - 2 < pause <= most
            assert row["error"] == "RuntimeError"
            await door.house.sql("update deliveries set due_at = now() where done_at is null")
        [row] = await door.house.until("select event_id, tries from deliveries where parked_at is not null")
        assert row["tries"] == 5
        assert await door.marks() == [("right", 0)]

        code, listed, _ = await amrutam(settings, "events")
        assert code == 0
        assert str(row["event_id"]) in listed
        assert "test_worker.trip" in listed
        assert "RuntimeError" in listed
        broken = False
        code, _, said = await amrutam(settings, "events", "--replay", str(row["event_id"]))
        assert (code, said) == (0, "amrutam: 1 steps are due again\n")
        await door.all_done(2)
    assert await door.marks() == [("right", 0), ("trip", 0)]
    code, listed, said = await amrutam(settings, "events")
    assert (code, listed, said) == (0, "", "amrutam: no step is parked\n")


async def test_the_flows_are_drawn_from_their_registrations(settings: Settings) -> None:
    code, drawn, _ = await amrutam(settings, "events", "--graph")
    assert code == 0
    assert drawn.startswith("flowchart LR\n")
    assert 'consultation_confirmed(["consultation.confirmed"])' in drawn
    code, _, said = await amrutam(settings, "events", "--replay", "everything")
    assert (code, len(said.splitlines())) == (2, 1)


async def never(delivery: Delivery) -> None:
    raise AssertionError(f"a sender ran {delivery}")


@pytest.mark.parametrize("kind", ["transaction", "errand"])
async def test_a_message_that_comes_three_times_happens_once(door: Door, settings: Settings, kind: str) -> None:
    begun: list[int] = []
    others_came = asyncio.Event()

    async def slow(tx: Tx, event: Knocked) -> None:
        begun.append(event.number)
        await others_came.wait()
        await tx.conn.execute(MARK, "slow", event.number)

    async def slow_errand(run: Run, event: Knocked) -> None:
        begun.append(event.number)
        await others_came.wait()
        await run(slow, event)

    on(Knocked)(slow if kind == "transaction" else slow_errand)
    broker, send = make_broker(settings, never)
    async with working(settings):
        await door.knock()
        [row] = await door.house.until("select event_id, step from deliveries where step like 'test_worker.%'")
        for _ in range(3):
            await send((row["event_id"], row["step"]))
        async with Redis.from_url(settings.redis_url.get_secret_value()) as redis, asyncio.timeout(10):  # pyright: ignore[reportUnknownMemberType]
            queue = cast("Any", redis)  # redis-py's commands are typed for both worlds at once
            while not begun or await queue.llen(QUEUE):  # noqa: ASYNC110 - the thing is in Redis
                await asyncio.sleep(0.02)
        others_came.set()
        await door.all_done(1)
        await send((row["event_id"], row["step"]))
        await door.knock()
        await door.all_done(2)
    await broker.shutdown()
    assert begun == ([0, 0] if kind == "transaction" else [0, 0, 0, 0])
    assert await door.marks() == [("slow", 0), ("slow", 0)]


async def test_an_errand_hands_over_its_event_and_step_as_its_key(door: Door, settings: Settings) -> None:
    keys: list[str] = []

    async def leave_the_house(run: Run, event: Knocked) -> None:
        keys.append(run.key)
        if len(keys) == 1:
            raise RuntimeError

    on(Knocked)(leave_the_house)
    async with working(settings):
        await door.knock()
        await door.house.until("select 1 from deliveries where tries = 1")
        await door.house.sql("update deliveries set due_at = now() where tries = 1")
        await door.all_done(1)
    event_id = await door.house.value("select event_id from deliveries where step like 'test_worker.%'")
    assert keys == [f"{event_id}:test_worker.leave_the_house"] * 2


async def test_a_step_that_no_worker_knows_waits_for_one_that_does(door: Door, settings: Settings) -> None:
    on(Knocked)(mark_left)
    async with working(settings):
        await door.house.until("select 1 from steps where step = $1", LEFT)
        # What a newer worker would have announced.
        await door.house.sql("insert into steps (event, step, seen_at) values ($1, $2, now())", *NEWER)
        await door.knock()
        await door.house.until("select 1 from deliveries where step = $1 and done_at is not null", LEFT)
        # The older one got the message and left it to others, soon.
        await door.house.until(
            "select 1 from deliveries where step = $1 and due_at < now() + interval '2 seconds'", NEWER[1]
        )
        on(Knocked)(mark_right)
        async with working(settings):
            await door.all_done(2)
    row = await door.house.sql("select tries, error from deliveries where step = $1", NEWER[1])
    assert row == [{"tries": 0, "error": None}]
    assert await door.marks() == [("left", 0), ("right", 0)]


async def test_an_emptied_redis_loses_no_step(door: Door, services: Services, settings: Settings) -> None:
    on(Knocked)(mark_left)
    await door.house.sql("insert into steps (event, step, seen_at) values ('test.knocked', $1, now())", LEFT)
    await door.knock(20)
    # Sent a moment ago, as far as the rows know; Redis has forgotten the messages, and the mark that says it has not.
    assert len(await door.database.write(lambda tx: queries.relay(tx, 0, []), source="test")) == 20
    async with Redis.from_url(settings.redis_url.get_secret_value()) as redis:  # pyright: ignore[reportUnknownMemberType]
        await redis.set(MARKER, "1")
    async with working(settings):
        await services.forget()
        await door.all_done(20, seconds=20)
    assert await door.marks() == [("left", number) for number in range(20)]


async def test_with_redis_away_everything_is_done_and_once(door: Door, services: Services, settings: Settings) -> None:
    on(Knocked)(mark_left)
    on(Knocked)(mark_right)
    async with working(settings):
        await door.knock(5)
        await services.valkey.kill()
        try:
            await door.knock(20)
            await door.all_done(50)
        finally:
            await services.valkey.start()
        await door.knock(5)
        await door.all_done(60)
    each = [*range(5), *range(20), *range(5)]
    assert await door.marks() == [(step, number) for step in ("left", "right") for number in sorted(each)]


@contextlib.asynccontextmanager
async def ticking(database: Database, tick: Tick, count: int) -> AsyncGenerator[None]:
    """The same tick in so many workers."""
    tasks = [asyncio.create_task(keep_ticking(database, tick)) for _ in range(count)]
    try:
        yield
    finally:
        await end_tasks(tasks)


async def test_of_two_workers_one_runs_a_tick(door: Door) -> None:
    inside = most = 0
    let_go = asyncio.Event()
    entered = asyncio.Event()

    async def job(tx: Tx) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        entered.set()
        await let_go.wait()
        inside -= 1

    async with ticking(door.database, Tick("test", 0.01, job), 2):
        await entered.wait()
        for _ in range(5):  # each of these is one more worker that comes while the first is inside
            assert not await door.database.write(lambda tx: queries.take_tick(tx, "test"), source="test")
        let_go.set()
        # Free again once the job has ended: now a third one gets it, between two runs of these.
        free = False
        async with asyncio.timeout(10):
            while not free:
                free = await door.database.write(lambda tx: queries.take_tick(tx, "test"), source="test")
    assert most == 1


async def test_a_tick_that_trips_goes_on(door: Door) -> None:
    runs = asyncio.Queue[int]()

    async def job(tx: Tx) -> Any:
        runs.put_nowait(1)
        raise RuntimeError

    async with ticking(door.database, Tick("test", 0.01, job), 1), asyncio.timeout(10):
        for _ in range(3):
            await runs.get()


async def test_a_task_that_ends_others_leaves_none_behind_when_it_is_cancelled_twice() -> None:
    never = asyncio.Event()
    deaf = 3

    async def hard_of_hearing() -> None:
        nonlocal deaf
        while True:
            try:
                await never.wait()
            except asyncio.CancelledError:
                deaf -= 1
                if not deaf:
                    raise

    child = asyncio.create_task(hard_of_hearing())

    async def parent() -> None:
        try:
            await never.wait()
        finally:
            await end_tasks([child])

    owner = asyncio.create_task(parent())
    await asyncio.sleep(0)  # both have begun
    await end_tasks([owner])
    assert child.done()
