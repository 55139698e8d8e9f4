"""The schema's runner: forward only, each file once, refused rather than guessed."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from server.core.migrate import Migration, MigrationRefused, migrate, migrations, pending
from server.core.partitions import make_missing, repair
from tests.conftest import Services

FIRST = Migration(1, "0001_a.sql", "create table a (id int primary key); insert into a values (1);")
SECOND = Migration(2, "0002_b.sql", "alter table a add column b int;")
BROKEN = Migration(2, "0002_b.sql", "alter table a add column b int; select 1 / 0;")

A_NOTE_OF_2041 = """
    insert into users (id, role, email, email_hash, name, created_at)
        select id_at('2041-12-15'), role, '', role::bytea, '', '2041-12-15'
          from unnest(array['DOCTOR', 'PATIENT']) role;
    insert into doctors (id, user_id, name, specialty, registration_number, search_text, created_at)
        select id, id, 'Dr. Rao', 'general', '1', '', created_at from users where role = 'DOCTOR';
    insert into patients (id, user_id, created_at)
        select id, id, created_at from users where role = 'PATIENT';
    insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time)
        select made.id, id_time(made.id), p.id, d.id, made.id, '/', '2041-12-15', '2041-12-16'
          from (select id_at('2041-12-15 10:00+00') as id) made, patients p, doctors d;
    insert into notes (id, consultation_id, patient_id, author_id, body, created_at)
        select id, id, patient_id, doctor_id, '', created_at from consultations;
"""


@pytest.fixture
async def empty(services: Services) -> str:
    """The owner's address of a database with nothing in it."""
    services.count += 1
    name = f"empty_{services.count}"
    conn = await asyncpg.connect(services.pg.url(services.owner, "postgres"))
    try:
        await conn.execute(f"create database {name}")
    finally:
        await conn.close()
    return services.pg.url(services.owner, name)


async def value(url: str, query: str) -> object:
    conn = await asyncpg.connect(url)
    try:
        return await conn.fetchval(query)
    finally:
        await conn.close()


async def test_applies_every_file_in_order_and_a_second_run_applies_none(empty: str) -> None:
    assert await migrate(empty) == [migration.name for migration in migrations()]
    assert await migrate(empty) == []


async def test_the_application_owns_nothing_and_may_ask_what_is_missing(empty: str, services: Services) -> None:
    await migrate(empty)
    database = empty.split("/")[3].split("?")[0]
    conn = await asyncpg.connect(services.pg.url("amrutam_app", database))
    try:
        assert await pending(conn, migrations()) == []
        assert await pending(conn, [*migrations(), Migration(9999, "9999_later.sql", "")]) == ["9999_later.sql"]
        owned = "select count(*) from pg_class where relowner = 'amrutam_app'::regrole"
        assert await conn.fetchval(owned) == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("drop table audit_logs")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("delete from audit_logs")
    finally:
        await conn.close()


async def test_of_several_runs_at_once_each_file_is_applied_by_one(empty: str) -> None:
    applied = await asyncio.gather(*[migrate(empty, wanted=[FIRST, SECOND]) for _ in range(5)])
    assert sorted(name for names in applied for name in names) == ["0001_a.sql", "0002_b.sql"]
    assert await value(empty, "select count(*) from a") == 1


async def test_a_file_that_fails_leaves_nothing_of_itself(empty: str) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(empty, wanted=[FIRST, BROKEN])
    assert await value(empty, "select count(*) from pg_attribute where attrelid = 'a'::regclass and attname = 'b'") == 0
    assert await migrate(empty, wanted=[FIRST, SECOND]) == ["0002_b.sql"]


async def test_refuses_a_file_that_was_changed_after_it_had_been_applied(empty: str) -> None:
    await migrate(empty, wanted=[FIRST])
    with pytest.raises(MigrationRefused, match=r"0001_a\.sql was changed"):
        await migrate(empty, wanted=[Migration(1, "0001_a.sql", FIRST.sql + " "), SECOND])


async def test_the_way_lines_end_is_no_change(empty: str) -> None:
    await migrate(empty, wanted=[Migration(1, "0001_a.sql", "create table a\n(id int);\n")])
    assert await migrate(empty, wanted=[Migration(1, "0001_a.sql", "create table a\r\n(id int);\r\n")]) == []


async def test_refuses_a_database_of_a_newer_version(empty: str) -> None:
    await migrate(empty, wanted=[FIRST, SECOND])
    with pytest.raises(MigrationRefused, match=r"0002_b\.sql, which is not here"):
        await migrate(empty, wanted=[FIRST])


async def test_refuses_a_file_that_comes_before_one_already_applied(empty: str) -> None:
    third = Migration(3, "0003_c.sql", "create table c (id int);")
    await migrate(empty, wanted=[FIRST, third])
    with pytest.raises(MigrationRefused, match=r"0002_b\.sql comes before"):
        await migrate(empty, wanted=[FIRST, SECOND, third])


async def test_waits_for_a_table_in_use_without_keeping_others_waiting(empty: str) -> None:
    await migrate(empty, wanted=[FIRST])
    holder = await asyncpg.connect(empty)
    reader = await asyncpg.connect(empty)
    try:
        holding = holder.transaction()
        await holding.start()
        await holder.execute("select * from a")
        running = asyncio.create_task(migrate(empty, wanted=[FIRST, SECOND]))
        waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like 'alter table a%'"
        async with asyncio.timeout(10):
            while not await reader.fetchval(waiting):  # noqa: ASYNC110 - the thing is in the database
                await asyncio.sleep(0.05)
        # Behind the waiting file a plain read waits too, for as long as its lock_timeout and no longer.
        async with asyncio.timeout(8):
            assert await reader.fetchval("select count(*) from a") == 1
        await holding.rollback()
        assert await running == ["0002_b.sql"]
    finally:
        await holder.close()
        await reader.close()


async def test_partitions_are_made_ahead_and_what_fell_into_the_default_is_moved_to_its_month(empty: str) -> None:
    await migrate(empty)
    await make_missing(empty, 13)
    assert await make_missing(empty, 13) == 0
    conn = await asyncpg.connect(empty)
    try:
        for month in ("2041-03-31 23:59:59+00", "2041-04-01 00:00:00+00"):
            at = f"'{month}'::timestamptz"
            await conn.execute(
                "insert into audit_logs (id, created_at, action, table_name)"
                f" select id, id_time(id), 'note', 'test' from (select id_at({at}) as id) made"
            )
        assert await conn.fetchval("select count(*) from audit_logs_default") == 2
        assert await repair(empty) == ["audit_logs_2041_03", "audit_logs_2041_04"]
        assert await conn.fetchval("select count(*) from only audit_logs_default") == 0
        assert await conn.fetchval("select count(*) from audit_logs where table_name = 'test'") == 2
        assert await conn.fetchval("select tableoid::regclass::text from audit_logs order by id limit 1") == (
            "audit_logs_2041_03"
        )
    finally:
        await conn.close()


async def test_repair_moves_a_consultation_with_what_hangs_on_it_and_wakes_no_trigger(empty: str) -> None:
    await migrate(empty)
    conn = await asyncpg.connect(empty)
    keys = "select count(*) from pg_constraint where contype = 'f' and confrelid = 'consultations'::regclass"
    asleep = "select count(*) from pg_trigger where tgrelid = 'consultations_default'::regclass and tgenabled = 'D'"
    try:
        await conn.execute(A_NOTE_OF_2041)
        assert await conn.fetchval("select count(*) from consultations_default") == 1
        before = await conn.fetchval(keys), await conn.fetchval("select count(*) from audit_logs")
        assert await repair(empty) == ["consultations_2041_12"]
        assert (await conn.fetchval(keys), await conn.fetchval("select count(*) from audit_logs")) == before
        assert await conn.fetchval(asleep) == 0
        assert await conn.fetchval("select count(*) from consultations_2041_12") == 1
        assert await conn.fetchval("select count(*) from notes") == 1
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await conn.execute("delete from consultations")
    finally:
        await conn.close()
