"""Partitions: a look-up by id touches one, old months of the trail go when their time has come, and all is watched."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import Mock

import aiohttp
import asyncpg
import pytest
from asyncpg import Connection, Record
from typer.testing import CliRunner, Result

import server
from server.cli import app
from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.ids import made_at, new_id
from server.core.partitions import detach_old
from server.core.settings import Settings
from server.core.tx import SYSTEM, Tx
from tests.house import serving
from worker.app import open_house
from worker.jobs import ticks_of
from worker.jobs.partitions import detach_old_months

KEPT = 36
BY_ID = re.compile(r"\bid = \$1 and (\w+\.)?created_at = \$2\b")
IN_THE_TRAIL = "select tableoid::regclass::text as part, count(*) from audit_logs where table_name = 'test' group by 1"


def look_ups() -> Iterator[tuple[str, str]]:
    """Every statement of the server that finds a consultation by its id."""
    for found in pkgutil.walk_packages(server.__path__, "server."):
        if found.name.endswith("queries"):
            module = importlib.import_module(found.name)
            for name, value in vars(module).items():
                if isinstance(value, str) and "consultations" in value and BY_ID.search(value):
                    yield f"{found.name}.{name}", value


LOOK_UPS = dict(look_ups())


@asynccontextmanager
async def connected(url: str, **settings: str) -> AsyncGenerator[Connection[Record]]:
    conn = await asyncpg.connect(url, server_settings=settings)
    try:
        yield conn
    finally:
        await conn.close()


def touched(plan: dict[str, Any]) -> set[str]:
    """The partitions of consultations that a plan looked into when it ran."""
    mine = {plan["Relation Name"]} if plan.get("Actual Loops") and "Relation Name" in plan else set[str]()
    below = [touched(part) for part in plan.get("Plans", [])]
    return {name for name in mine.union(*below) if name.startswith("consultations_")}


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_a_look_up_by_id_touches_one_partition(owner_url: str, mode: str) -> None:
    assert len(LOOK_UPS) > 10
    id_ = new_id(utc_now())
    async with connected(owner_url, plan_cache_mode=mode) as conn:
        months = await conn.fetchval("select count(*) from pg_inherits where inhparent = 'consultations'::regclass")
        assert months > 12
        for name, statement in LOOK_UPS.items():
            others = max(int(number) for number in re.findall(r"\$(\d+)", statement)) - 2
            async with conn.transaction():
                await conn.execute(f"prepare look_up as {statement}")
                values = ", ".join([f"'{id_}'", f"'{made_at(id_).isoformat()}'", *["null"] * others])
                explained = await conn.fetchval(
                    f"explain (analyze, costs off, timing off, format json) execute look_up({values})"
                )
                await conn.execute("deallocate look_up")
            [top] = json.loads(explained)
            assert len(touched(top["Plan"])) <= 1, name


async def months_ago(conn: Connection[Record], months: int) -> str:
    """A partition so many months back with one row in it; its name."""
    part = await conn.fetchval(
        "select 'audit_logs_' || to_char(now() at time zone 'UTC' - make_interval(months => $1), 'YYYY_MM')", months
    )
    await conn.fetchval(
        "select make_partitions((now() at time zone 'UTC' - make_interval(months => $1))::date, 1)", months
    )
    await note(conn, utc_now(), months)
    return str(part)


async def note(conn: Connection[Record], at: datetime, months: int = 0) -> None:
    """A row of the trail, so many months before a moment."""
    await conn.execute(
        "insert into audit_logs (id, created_at, action, table_name)"
        " select id, id_time(id), 'note', 'test'"
        "   from (select id_at($1::timestamptz - make_interval(months => $2)) as id) made",
        at,
        months,
    )


async def test_only_months_that_are_older_than_it_is_kept_leave_the_trail(owner_url: str) -> None:
    async with connected(owner_url) as conn:
        # The last moment of the month before last is at least so long ago, and that of the last one is not.
        names = {months: await months_ago(conn, months) for months in (KEPT + 3, KEPT + 1, KEPT, KEPT - 1)}
        assert await detach_old(owner_url, KEPT) == [names[KEPT + 3], names[KEPT + 1]]
        assert await detach_old(owner_url, KEPT) == []
        assert {row["part"] for row in await conn.fetch(IN_THE_TRAIL)} == {names[KEPT], names[KEPT - 1]}
        for months in (KEPT + 3, KEPT + 1):
            assert await conn.fetchval(f"select count(*) from old_trail.{names[months]}") == 1
        noted = await conn.fetch("select reason from audit_logs where source = 'retention' order by id")
        assert sorted(row["reason"] for row in noted) == sorted(f"{names[n]} detached" for n in (KEPT + 3, KEPT + 1))


async def test_who_runs_the_database_detaches_from_the_command_line(settings: Settings, owner_url: str) -> None:
    environment = {"AMRUTAM_MIGRATE_URL": owner_url, "AMRUTAM_TRAIL_MONTHS": str(KEPT)}

    async def detach(*arguments: str) -> Result:
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["partitions", "detach", *arguments], env=environment, catch_exceptions=False
        )

    async with connected(owner_url) as conn:
        old, young = await months_ago(conn, KEPT + 3), await months_ago(conn, 20)
        said = await detach()
        assert (said.exit_code, said.output) == (0, f"amrutam: detached {old}\n")
        assert (await detach()).output == "amrutam: no month of the trail is so old\n"
        assert (await detach("--months", "11")).exit_code == 2
        assert (await detach("--months", "12")).output == f"amrutam: detached {young}\n"


async def test_the_application_cannot_let_the_trail_go_before_a_year(settings: Settings, owner_url: str) -> None:
    async with connected(owner_url) as owner, connected(settings.database_url.get_secret_value()) as conn:
        part = await months_ago(owner, 6)
        old = await months_ago(owner, 14)
        for months in (11, 0, -5, None):
            with pytest.raises(asyncpg.InvalidParameterValueError):
                await conn.fetchval("select detach_old_month($1)", months)
        # A clock that somebody moved changes nothing: it is the database's that counts.
        assert await conn.fetchval("select detach_old_month(12)") == old
        assert await conn.fetchval("select detach_old_month(12)") is None
        assert await conn.fetchval("select count(*) from audit_logs where table_name = 'test'") == 1
        for forbidden in (
            f"alter table audit_logs detach partition {part}",
            f"select * from old_trail.{old}",
            f"drop table old_trail.{old}",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await conn.execute(forbidden)


async def test_the_worker_detaches_month_by_month_and_gives_way_to_who_writes(
    settings: Settings, owner_url: str
) -> None:
    async with connected(owner_url) as owner, open_house(settings) as (database, _, _):
        names = [await months_ago(owner, KEPT + 3), await months_ago(owner, KEPT + 2)]

        async def run() -> bool:
            return await database.write(lambda tx: detach_old_months(tx, settings=settings), source="tick")

        async with owner.transaction():
            await note(owner, utc_now())  # somebody's transaction has written to the trail, and goes on
            assert not await run()
        assert await owner.fetchval("select to_regclass('old_trail.' || $1)", names[0]) is None
        assert [await run(), await run(), await run()] == [True, True, False]
        for name in names:
            assert await owner.fetchval("select to_regclass('old_trail.' || $1)", name) is not None


async def test_a_writer_waits_a_moment_at_most(settings: Settings, owner_url: str) -> None:
    async with connected(owner_url) as owner, connected(owner_url) as writer:
        await months_ago(owner, KEPT + 3)
        async with owner.transaction():
            await note(owner, utc_now())
            async with open_house(settings) as (database, _, _):
                waiting = asyncio.create_task(
                    database.write(lambda tx: detach_old_months(tx, settings=settings), source="tick")
                )
                held = "select count(*) from pg_locks where not granted and relation = 'audit_logs'::regclass"
                async with asyncio.timeout(10):
                    while not await owner.fetchval(held):  # noqa: ASYNC110 - the thing is in the database
                        await asyncio.sleep(0.02)
                async with asyncio.timeout(10):
                    await note(writer, utc_now())
                assert not await waiting


async def test_consultations_are_never_detached(owner_url: str) -> None:
    async with connected(owner_url) as conn:
        count = "select count(*) from pg_inherits where inhparent = 'consultations'::regclass"
        await months_ago(conn, KEPT + 5)  # makes the month of both
        before = await conn.fetchval(count)
        assert await detach_old(owner_url, 12)
        assert await conn.fetchval(count) == before


async def test_months_ahead_and_the_default_partitions_are_watched(settings: Settings, owner_url: str) -> None:
    async with serving(settings) as (_, base), connected(owner_url) as conn:
        assert await figures(base) == (await ahead(conn), 0)
        await note(conn, utc_now() + timedelta(days=4000))
        assert await figures(base) == (await ahead(conn), 1)


async def ahead(conn: Connection[Record]) -> int:
    """Partitions of the trail that begin after now."""
    return await conn.fetchval(
        "select count(*) from pg_class where relispartition and relname ~ '^audit_logs_\\d{4}_\\d\\d$'"
        " and relname > 'audit_logs_' || to_char(now() at time zone 'UTC', 'YYYY_MM')"
    )


async def figures(base: str) -> tuple[int, int]:
    """What /metrics says of them."""
    async with aiohttp.ClientSession() as http, http.get(f"{base}/metrics") as response:
        told = dict(re.findall(r"^(amrutam_\w+) ([\d.]+)$", await response.text(), re.MULTILINE))
    return int(float(told["amrutam_partition_months_ahead"])), int(float(told["amrutam_default_partition_rows"]))


def test_every_tick_can_sign_its_transactions(settings: Settings) -> None:
    for tick in ticks_of(settings, Cipher(settings)):
        assert Tx(Mock(), utc_now(), SYSTEM, f"tick-{tick.name}").act
