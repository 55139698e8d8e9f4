"""Monthly partitions: made and mended from the command line, old ones of the trail let go, all of them watched."""

from __future__ import annotations

from datetime import date

import asyncpg
from asyncpg import Connection, Record
from prometheus_client import Gauge

from server.core.tx import Tx

STRAY = Gauge("amrutam_default_partition_rows", "Rows in default partitions, a thousand a table at most: 0 is right")
AHEAD = Gauge("amrutam_partition_months_ahead", "Months for which partitions exist already, this one not counted")
PARENTS = ("audit_logs", "consultations")
MAKE = "select make_partitions(current_date, $1)"
DETACH = "select detach_old_month($1)"
STRAY_ROWS = """
    select (select count(*) from (select 1 from consultations_default limit 1000) c)
         + (select count(*) from (select 1 from audit_logs_default limit 1000) a)
"""
# Of whichever parent has the fewest. The current month's partition ends after now too: it is the one taken off.
MONTHS_AHEAD = """
    select min(ahead) from (
        select count(*) filter (
                   where substring(pg_get_expr(c.relpartbound, c.oid) from 'TO \\(''([^'']+)''\\)')::timestamptz > $2
               ) - 1 as ahead
          from unnest($1::text[]) parent
          left join pg_inherits i on i.inhparent = parent::regclass
          left join pg_class c on c.oid = i.inhrelid
         group by parent) parents
"""
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


async def detach_old(owner_url: str, keep_months: int) -> list[str]:
    """Detach the months of the trail that ended at least so many months ago, into the schema `old_trail`; their names.

    Each in a transaction of its own. Raises asyncpg.InvalidParameterValueError for less than twelve months, and
    asyncpg.LockNotAvailableError where the trail is too busy for it just now.
    """
    conn = await asyncpg.connect(owner_url, timeout=30)
    detached: list[str] = []
    try:
        while (part := await conn.fetchval(DETACH, keep_months)) is not None:
            detached.append(part)
    finally:
        await conn.close()
    return detached


async def detach_one(tx: Tx, keep_months: int) -> str | None:
    """The same for the oldest month alone, in this transaction; its name, None where no month is so old.

    The transaction goes on also after asyncpg.LockNotAvailableError.
    """
    await tx.conn.execute("savepoint detaching")
    try:
        return await tx.conn.fetchval(DETACH, keep_months)
    except asyncpg.LockNotAvailableError:
        await tx.conn.execute("rollback to savepoint detaching")
        raise


async def stray_rows(tx: Tx) -> float:
    """How many rows default partitions hold; a thousand a table are not counted further."""
    return float(await tx.conn.fetchval(STRAY_ROWS) or 0)


async def months_ahead(tx: Tx) -> float:
    """For how many months after this one partitions exist."""
    return float(await tx.conn.fetchval(MONTHS_AHEAD, list(PARENTS), tx.now) or 0)


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
