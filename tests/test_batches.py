"""What callers of one moment ask travels as one statement, and to each it is as if they had come alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, cast

import asyncpg
import pytest

from server.booking import BookSlot, DailyLimit, PatientBusy, SlotTaken, book_slot
from server.consultations import Consultation
from server.core.batches import Batches, Statement
from server.core.idempotency import InFlight, KeyReused, Replay, body_hash
from server.core.ids import SlotId
from server.core.outbox import StoredReply
from server.core.tx import Actor, IdempotencyKey, Tx
from server.scheduling import PublicSlot
from tests.clinic import WRONG, World
from tests.conftest import Services

# What the house runs on, which says nothing about anybody; and how far somebody has read.
PLUMBING = {
    *("audit_logs", "deliveries", "idempotency_keys", "outbox", "room_events", "rooms", "schema_migrations", "steps"),
    "chat_marks",
}
Body = Callable[[Tx], Awaitable[Consultation]]


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    """Three patients, and two doctors with four free slots each: the first asks no fee."""
    async with World.opened(services) as opened:
        yield opened


def booking(world: World, slot_id: SlotId) -> Body:
    """Somebody's wish for a slot."""
    return partial(
        book_slot,
        ask=BookSlot(slot_id=slot_id, reason="Cough"),
        cipher=world.database.cipher,
        settings=world.settings,
    )


async def book_together(world: World, *wishes: tuple[Actor, SlotId], key: str | None = None) -> list[Any]:
    """Let all of them book in one turn of the loop: what each got, or how it was refused."""

    async def book(number: int, actor: Actor, slot_id: SlotId) -> Consultation:
        hashed = body_hash({"slot_id": str(slot_id)})
        return await world.database.write(
            booking(world, slot_id),
            actor=actor,
            request_id=f"wish-{number}",
            key=IdempotencyKey(actor.key, "POST /consultations", key, hashed) if key else None,
            encode=(lambda result: StoredReply(201, result.model_dump_json().encode())) if key else None,
            at_once=True,
        )

    return await asyncio.gather(*(book(n, *wish) for n, wish in enumerate(wishes)), return_exceptions=True)


async def know(world: World, *patients: Actor) -> None:
    """Have the data keys of these patients made: who has none makes it by a connection of their own, and is alone."""

    async def seal(tx: Tx) -> None:
        for patient in patients:
            assert patient.patient_id is not None
            await world.database.cipher.file_key(tx, patient.patient_id, "x")

    await world.database.write(seal)


async def rows(world: World, query: str, *args: object) -> list[asyncpg.Record]:
    """What the database says."""
    return await world.database.brief(lambda tx: tx.conn.fetch(query, *args))


async def test_bookings_of_one_moment_are_one_transaction_and_the_trail_knows_whose_each_row_is(world: World) -> None:
    one, other, third = world.patients
    await know(world, one, other, third)
    free, paid = world.slots[0], world.slots[4:6]
    booked = await book_together(world, (one, free), (other, paid[0]), (third, paid[1]))
    assert [type(answer) for answer in booked] == [Consultation] * 3
    entries = await rows(
        world,
        "select actor_id, actor_role, source, request_id, action, table_name, row_id, patient_id, tx::text, changed,"
        " before_hash, after_hash from audit_logs where request_id like 'wish-%' order by request_id, table_name",
    )
    assert len({entry["tx"] for entry in entries}) == 1
    for number, (patient, answer) in enumerate(zip(world.patients, booked, strict=True)):
        own = [entry for entry in entries if entry["request_id"] == f"wish-{number}"]
        tables = ["availability_slots", "consents", "consultations", "payments"]
        if number == 0:
            tables.insert(3, "payment_entries")
        assert [entry["table_name"] for entry in own] == tables
        assert {(entry["actor_id"], entry["actor_role"], entry["source"]) for entry in own} == {
            (patient.user_id, "PATIENT", "rest")
        }
        by_table = {entry["table_name"]: entry for entry in own}
        assert by_table["consultations"]["row_id"] == answer.id
        assert by_table["consultations"]["patient_id"] == patient.patient_id
        slot = by_table["availability_slots"]
        assert (slot["action"], slot["row_id"]) == ("update", answer.slot_id)
        assert {"consultation_id", "patient_n", "status", "version"} <= set(slot["changed"])
        assert slot["before_hash"] != slot["after_hash"]
        [stored] = await rows(
            world,
            "select sha256(convert_to(s::text, 'UTF8')) as hash from availability_slots s where id = $1",
            answer.slot_id,
        )
        assert slot["after_hash"] == stored["hash"]
    assert await world.wrong(WRONG) == []


async def test_one_who_is_elsewhere_is_refused_and_the_others_hear_nothing_of_it(world: World) -> None:
    one, other, _ = world.patients
    await know(world, one, other)
    [first] = await rows(world, "select start_time from availability_slots where id = $1", world.slots[4])
    [twin] = await rows(
        world,
        "select id from availability_slots where start_time = $1 and id <> $2 and status = 'AVAILABLE' limit 1",
        first["start_time"],
        world.slots[4],
    )
    answers = await book_together(world, (one, world.slots[4]), (one, SlotId(twin["id"])), (other, world.slots[5]))
    assert sorted(type(answer).__name__ for answer in answers[:2]) == ["Consultation", "PatientBusy"]
    assert isinstance(answers[2], Consultation)
    assert await world.wrong(WRONG) == []
    assert PatientBusy in {type(answer) for answer in answers}


async def test_two_who_want_one_slot_at_once_get_one_booking_and_one_refusal(world: World) -> None:
    one, other, _ = world.patients
    await know(world, one, other)
    answers = await book_together(world, (one, world.slots[4]), (other, world.slots[4]))
    assert sorted(type(answer).__name__ for answer in answers) == ["Consultation", "SlotTaken"]
    [refusal] = [answer for answer in answers if isinstance(answer, SlotTaken)]
    others = cast("list[PublicSlot]", refusal.extra["alternatives"])
    assert others
    assert world.slots[4] not in {slot.id for slot in others}
    assert await world.wrong(WRONG) == []


async def test_one_key_twice_in_one_moment_is_one_act(world: World) -> None:
    one = world.patients[0]
    await know(world, one)
    answers = await book_together(world, (one, world.slots[4]), (one, world.slots[4]), key="same")
    assert sum(isinstance(answer, Consultation) for answer in answers) == 1
    assert {type(answer) for answer in answers} <= {Consultation, Replay, InFlight}
    answers = await book_together(world, (one, world.slots[5]), (one, world.slots[6]), key="other")
    assert sum(isinstance(answer, Consultation) for answer in answers) == 1
    assert {type(answer) for answer in answers} <= {Consultation, KeyReused, InFlight}
    assert len(await rows(world, "select from consultations where patient_id = $1", one.patient_id)) == 2


async def test_a_day_allows_no_more_bookings_to_one_who_asks_for_many_at_once(world: World) -> None:
    one, other, _ = world.patients
    await know(world, one, other)
    world.settings = world.settings.model_copy(update={"daily_limit": 2})
    answers = await book_together(world, *((one, slot) for slot in world.slots[4:8]), (other, world.slots[0]))
    assert sorted(type(answer).__name__ for answer in answers[:4]) == ["Consultation"] * 2 + ["DailyLimit"] * 2
    assert isinstance(answers[4], Consultation)
    [again] = await book_together(world, (one, world.slots[7]))
    assert isinstance(again, DailyLimit)


async def test_nobody_writes_past_the_trail(world: World) -> None:
    """The triggers stand on whole tables: what would be written to a month itself, they would not see."""
    months = await rows(
        world, "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'consultations'::regclass"
    )
    assert len(months) > 12
    for month in months:
        for act in ("update {} set meeting_link = 'x'", "delete from {}", "insert into {} select * from consultations"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await rows(world, act.format(month["name"]))
    unseen = await rows(
        world,
        """
        select c.relname from pg_class c
         where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
           and not exists (select from pg_trigger t join pg_proc f on f.oid = t.tgfoid
                            where t.tgrelid = c.oid and f.proname ~ '^audited(_|$)' and t.tgenabled = 'O'
                            group by t.tgrelid having bit_or(t.tgtype) & 28 = 28)
         order by 1
        """,
    )
    assert {row["relname"] for row in unseen} == PLUMBING


async def test_no_column_is_left_out_of_the_trail(world: World) -> None:
    """The trail by statement is kept by functions made of a table's columns: a new column wants a new function."""
    left_out = await rows(
        world,
        """
        select c.relname, a.attname
          from pg_class c
          join pg_proc f on f.proname = 'audited_' || c.relname
          join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
         where c.relnamespace = 'public'::regnamespace
           and position(format('then %L', a.attname) in f.prosrc) = 0
        """,
    )
    assert [tuple(row) for row in left_out] == []
    assert len(await rows(world, "select from pg_proc where proname like 'audited\\_%'")) == 5


class Answering:
    """In the place of PostgreSQL: answers each wish with itself, when it is let."""

    def __init__(self) -> None:
        self.asked: list[list[Any]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, statement: str, args: Sequence[Any]) -> list[Any]:
        [wishes] = args
        self.asked.append(list(wishes))
        await self.go.wait()
        if statement == "lost":
            raise ConnectionResetError
        if "wrong" in wishes:
            raise asyncpg.DataError if statement == "data" else asyncpg.CheckViolationError
        return [{"caller": number, "wish": wish} for number, wish in enumerate(wishes, 1)]


async def test_who_comes_while_others_are_under_way_goes_with_all_who_came_meanwhile() -> None:
    fetch = Answering()
    batches = Batches(fetch, (OSError,))
    statement = Statement("any")
    fetch.go.clear()
    asked = [asyncio.create_task(batches.ask(statement, ("a",)))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for name in "bcdef":
        asked.append(asyncio.create_task(batches.ask(statement, (name,))))
        for _ in range(3):
            await asyncio.sleep(0)
    assert fetch.asked == [["a"]]
    asked[3].cancel()  # whoever goes away takes nobody along
    fetch.go.set()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert fetch.asked == [["a"], ["b", "c", "d", "e", "f"]]
    assert [answer[0]["wish"] for answer in answers if isinstance(answer, list)] == ["a", "b", "c", "e", "f"]


async def test_nobody_waits_long_for_a_statement_that_is_held_up() -> None:
    fetch = Answering()
    batches = Batches(fetch, (OSError,))
    statement = Statement("any")
    fetch.go.clear()
    slow = asyncio.create_task(batches.ask(statement, ("slow",)))
    await asyncio.sleep(0.01)
    quick = [asyncio.create_task(batches.ask(statement, (name,))) for name in "ab"]
    async with asyncio.timeout(5):
        while len(fetch.asked) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert fetch.asked == [["slow"], ["a", "b"]]
    fetch.go.set()
    assert len(await asyncio.gather(slow, *quick)) == 3


async def test_what_is_wrong_with_one_is_that_ones_alone_and_a_lost_connection_is_everybodys() -> None:
    fetch = Answering()
    batches = Batches(fetch, (OSError,))
    checked = Statement("check")
    answers = await asyncio.gather(
        *(batches.ask(checked, (wish,)) for wish in ("a", "wrong", "b")), return_exceptions=True
    )
    assert isinstance(answers[1], asyncpg.CheckViolationError)
    assert [answer[0]["wish"] for answer in (answers[0], answers[2]) if isinstance(answer, list)] == ["a", "b"]
    fetch.asked.clear()
    lost = Statement("lost")
    answers = await asyncio.gather(*(batches.ask(lost, (wish,)) for wish in "ab"), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ConnectionResetError] * 2
    assert fetch.asked == [["a", "b"]]  # whether it was done is not known, so nobody does it again


async def test_who_asks_the_very_same_shares_an_answer() -> None:
    fetch = Answering()
    batches = Batches(fetch, (OSError,))
    shared = Statement("any", shared=True)
    answers = await asyncio.gather(*(batches.ask(shared, (wish,)) for wish in "abab"))
    assert fetch.asked == [["a", "b"]]
    assert [answer[0]["wish"] for answer in answers] == ["a", "b", "a", "b"]
