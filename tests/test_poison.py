"""Poison among a thousand steps: each kind is tried five times and put aside with an alarm, and the others go on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from server.core.database import Database
from server.core.events import EVENTS, Event
from server.core.logs import MOST_OF_A_TRACEBACK, set_up_logs
from server.core.settings import Settings
from server.core.tx import Run, Tx
from tests.house import House, working
from worker.app import open_house
from worker.registry import STEPS, on

COUNT = 1000
POISON = {n: ("trips", "hangs", "hangs_outside", "garbled")[n // 100 % 4] for n in range(50, COUNT, 100)}
STEP_SECONDS = 2.0
FAT_BYTES = 50_000_000
# What waits for its next try gets it now, since the pauses have a test of their own; what runs has its lease.
TRY_NOW = """
    update deliveries set due_at = now()
     where done_at is null and parked_at is null and error is not null
       and due_at between now() + interval '1 second' and now() + interval '50 seconds'
"""


class Handed(Event, name="test.handed"):
    """A job is handed to the worker: an event of these tests alone, known while one of them runs."""

    number: int
    text: str = ""


del EVENTS[Handed.name]


async def work(tx: Tx, event: Handed) -> None:
    """Leave a mark; poison trips with fifty megabytes to say, or waits for what never comes."""
    await tx.conn.execute(
        "insert into marks (step, number, length) values ('work', $1, $2)", event.number, len(event.text)
    )
    match POISON.get(event.number):
        case "trips":
            raise RuntimeError("x" * FAT_BYTES)
        case "hangs":
            await asyncio.Event().wait()
        case _:
            pass


async def work_outside(run: Run, event: Handed) -> None:
    """Go out; poison never comes back."""
    if POISON.get(event.number) == "hangs_outside":
        await asyncio.Event().wait()
    await run(mark_outside, event)


async def mark_outside(tx: Tx, event: Handed) -> None:
    # What leaves the house is done at least once.
    await tx.conn.execute(
        "insert into marks (step, number, length) values ('outside', $1, 0) on conflict do nothing", event.number
    )


@pytest.fixture
def registry() -> Iterator[None]:
    """The steps and the event of this file, forgotten afterwards."""
    steps = dict(STEPS)
    EVENTS[Handed.name] = Handed
    on(Handed)(work)
    on(Handed)(work_outside)
    yield
    del EVENTS[Handed.name]
    STEPS.clear()
    STEPS.update(steps)


@pytest.fixture
async def database(registry: None, settings: Settings, owner_url: str) -> AsyncIterator[Database]:
    """The database of a house without a worker, for now."""
    conn = await asyncpg.connect(owner_url)
    await conn.execute("create table marks (step text, number int, length int, unique (step, number))")
    await conn.execute("grant select, insert on marks to amrutam_app")
    await conn.close()
    async with open_house(settings) as (database, _, _):
        yield database


async def hand(database: Database, *events: Handed) -> None:
    """Emit, as an operation does."""

    async def emit(tx: Tx) -> None:
        for event in events:
            tx.emit(event)

    await database.write(emit, source="test")


@pytest.mark.timeout(240)
async def test_of_a_thousand_jobs_the_poisoned_are_put_aside_and_all_others_done(
    database: Database, settings: Settings, owner_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    strict = settings.model_copy(update={"step_seconds": STEP_SECONDS, "errand_seconds": STEP_SECONDS})
    house = House(strict, [], [], None, owner_url)  # pyright: ignore[reportArgumentType] - nobody knocks over HTTP
    garbled = [number for number, kind in POISON.items() if kind == "garbled"]
    await hand(database, *(Handed(number=number) for number in garbled))
    await house.sql("update outbox set payload = '\\x00' where name = 'test.handed'")
    await hand(database, *(Handed(number=number) for number in range(COUNT) if number not in garbled))
    async with working(strict):
        await house.until(
            "select 1 where (select count(*) from deliveries where step like 'test_poison.%' and done_at is not null)"
            " >= $1",
            2 * COUNT - len(POISON) - len(garbled),
            seconds=90,
        )
        async with asyncio.timeout(90):
            while await house.value("select count(*) from deliveries where done_at is null and parked_at is null"):
                await house.sql(TRY_NOW)
                await asyncio.sleep(0.2)
    rows = await house.sql("select step, tries, error from deliveries where parked_at is not null")
    assert sorted((row["step"].partition(".")[2], row["error"]) for row in rows) == sorted(
        {
            "trips": [("work", "RuntimeError")],
            "hangs": [("work", "TimeoutError")],
            "hangs_outside": [("work_outside", "TimeoutError")],
            "garbled": [("work", "Unreadable"), ("work_outside", "Unreadable")],
        }[kind][n]
        for kind in POISON.values()
        for n in range(2 if kind == "garbled" else 1)
    )
    assert {row["tries"] for row in rows} == {5}
    alarms = [record for record in caplog.records if record.getMessage() == "a step is parked"]
    assert len(alarms) == len(rows)
    assert {record.levelno for record in alarms} == {logging.ERROR}
    marks = await house.sql("select step, number from marks")
    for step, bad in (("work", {"trips", "hangs", "garbled"}), ("outside", {"hangs_outside", "garbled"})):
        done = sorted(row["number"] for row in marks if row["step"] == step)
        assert done == [number for number in range(COUNT) if POISON.get(number) not in bad]


def test_an_error_that_has_megabytes_to_say_is_cut_short_in_the_log(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up_logs(settings)
        try:
            raise RuntimeError("x" * FAT_BYTES)
        except RuntimeError:
            logging.getLogger("worker").exception("a step failed")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    line = capsys.readouterr().err
    assert len(line) < 2 * MOST_OF_A_TRACEBACK
    assert "RuntimeError: xxx" in json.loads(line)["exc_info"]


async def test_a_job_of_fifty_megabytes_is_done_like_any_other(
    database: Database, settings: Settings, owner_url: str
) -> None:
    house = House(settings, [], [], None, owner_url)  # pyright: ignore[reportArgumentType] - nobody knocks over HTTP
    await hand(database, Handed(number=0, text="x" * FAT_BYTES), *(Handed(number=n) for n in range(1, 20)))
    async with working(settings):
        await house.until("select 1 where (select count(*) from marks) = 40", seconds=60)
    assert await house.value("select length from marks where step = 'work' and number = 0") == FAT_BYTES
