"""Monthly partitions from the command line: make what is missing, and empty the default ones into their months."""

from __future__ import annotations

from datetime import date

import asyncpg
from asyncpg import Connection, Record

PARENTS = ("audit_logs", "consultations")
MAKE = "select make_partitions(current_date, $1)"
STRAY_MONTHS = """
    select distinct date_trunc('month', created_at at time zone 'UTC')::date as month from {parent}_default order by 1
"""
# Foreign keys that point at the parent; those of its partitions hang on these and go and come with them.
KEYS = """
    select conrelid::regclass::text as child, conname as name, pg_get_constraintdef(oid) as definition
      from pg_constraint
     where contype = 'f' and confrelid = $1::text::regclass and conparentid = 0
     order by 1, 2
"""
COLUMNS = """
    select string_agg(quote_ident(attname), ', ' order by attnum)
      from pg_attribute
     where attrelid = $1::text::regclass and attnum > 0 and not attisdropped and attgenerated = ''
"""


async def make_missing(owner_url: str, months: int) -> int:
    """Make the partitions that are missing from this month on; returns how many were made."""
    conn = await asyncpg.connect(owner_url, timeout=30)
    try:
        return int(await conn.fetchval(MAKE, months))
    finally:
        await conn.close()


async def repair(owner_url: str) -> list[str]:
    """Move the rows of the default partitions into partitions of their months; returns the partitions made.

    One transaction a parent, as the owner: keys dropped, rows moved, partition attached, keys added again (which
    checks every row). Writers wait meanwhile. No trigger fires for a row that only changes its place.
    """
    conn = await asyncpg.connect(owner_url, timeout=30)
    made: list[str] = []
    try:
        for parent in PARENTS:
            async with conn.transaction():
                made += await _repair(conn, parent)
    finally:
        await conn.close()
    return made


async def _repair(conn: Connection[Record], parent: str) -> list[str]:
    await conn.execute("set local lock_timeout = '10s'")
    await conn.execute(f"lock table {parent} in access exclusive mode")
    months: list[date] = [row["month"] for row in await conn.fetch(STRAY_MONTHS.format(parent=parent))]
    if not months:
        return []
    keys = await conn.fetch(KEYS, parent)
    for key in keys:
        await conn.execute(f'alter table {key["child"]} drop constraint "{key["name"]}"')
    await conn.execute(f"alter table {parent}_default disable trigger user")
    columns = await conn.fetchval(COLUMNS, parent)
    made = [await _move(conn, parent, month, columns) for month in months]
    await conn.execute(f"alter table {parent}_default enable trigger user")
    for key in keys:
        await conn.execute(f'alter table {key["child"]} add constraint "{key["name"]}" {key["definition"]}')
    return made


async def _move(conn: Connection[Record], parent: str, month: date, columns: str) -> str:
    part = f"{parent}_{month:%Y_%m}"
    following = date(month.year + month.month // 12, month.month % 12 + 1, 1)
    since, until = f"'{month} 00:00:00+00'", f"'{following} 00:00:00+00'"
    await conn.execute(f"create table {part} (like {parent} including all)")
    await conn.execute(
        f"with moved as (delete from {parent}_default where created_at >= {since} and created_at < {until}"  # noqa: S608
        f" returning {columns}) insert into {part} ({columns}) select {columns} from moved"
    )
    await conn.execute(f"alter table {parent} attach partition {part} for values from ({since}) to ({until})")
    return part
