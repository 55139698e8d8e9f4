"""The schema's runner: numbered SQL files, applied in order, each once, forward only."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import random
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg
from asyncpg import Connection, Record
from asyncpg.pool import PoolConnectionProxy

NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
LOCK = "select pg_advisory_xact_lock(hashtext('amrutam migrate'))"
TABLE = """
    create table if not exists schema_migrations (
        number int primary key,
        name text not null,
        checksum text not null,
        applied_at timestamptz not null default now()
    )
"""
APPLIED = "select number, name, checksum from schema_migrations order by number"
APPLY = "insert into schema_migrations (number, name, checksum) values ($1, $2, $3)"
LOCK_TRIES = 5


class MigrationRefused(Exception):
    """The database and these files do not fit together. Nothing was changed."""


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """Its SHA-256; the way lines end does not count."""
        return hashlib.sha256(self.sql.replace("\r\n", "\n").encode()).hexdigest()


def migrations() -> list[Migration]:
    """The files of the package `migrations`, in order."""
    found = [entry for entry in files("migrations").iterdir() if entry.name.endswith(".sql")]
    listed: dict[int, Migration] = {}
    for entry in sorted(found, key=lambda entry: entry.name):
        named = NAME.fullmatch(entry.name)
        if named is None or int(named[1]) in listed:
            raise MigrationRefused(f"migrations/{entry.name}: a name is 0001_what_it_does.sql, each number once")
        listed[int(named[1])] = Migration(int(named[1]), entry.name, entry.read_text(encoding="utf-8"))
    return list(listed.values())


async def migrate(
    owner_url: str, *, app_password: str | None = None, wanted: list[Migration] | None = None
) -> list[str]:
    """Apply what is missing, as the owner; returns the names applied. Makes the role amrutam_app if there is none.

    Each file is a transaction of its own under one advisory lock, so several may run this at once. A table that is
    in use for over five seconds makes the file wait its turn again, not everybody else behind it. `app_password`
    is for a server reached over TCP. Raises MigrationRefused for a changed file, a missing one, a newer database.
    """
    wanted = migrations() if wanted is None else wanted
    conn = await asyncpg.connect(owner_url, timeout=30, statement_cache_size=0)
    try:
        await _make_role(conn, app_password)
        applied: list[str] = []
        while (name := await _apply_next(conn, wanted)) is not None:
            applied.append(name)
        return applied
    finally:
        await conn.close()


async def pending(conn: Connection[Record] | PoolConnectionProxy[Record], wanted: list[Migration]) -> list[str]:
    """The files that this database lacks; the application's role may ask."""
    if not await conn.fetchval("select to_regclass('public.schema_migrations') is not null"):
        return [migration.name for migration in wanted]
    have = {row["number"] for row in await conn.fetch(APPLIED)}
    return [migration.name for migration in wanted if migration.number not in have]


async def _make_role(conn: Connection[Record], password: str | None) -> None:
    async with conn.transaction():
        await conn.execute(LOCK)
        if not await conn.fetchval("select true from pg_roles where rolname = 'amrutam_app'"):
            # The server keeps a verifier, not the password; made here, the password stays out of its log, too.
            secret = f" password '{scram_verifier(password)}'" if password else ""
            try:
                await conn.execute(f"create role amrutam_app login nosuperuser nocreatedb nocreaterole{secret}")
            except asyncpg.DuplicateObjectError:
                pass
            except asyncpg.InsufficientPrivilegeError:
                raise MigrationRefused(
                    "AMRUTAM_MIGRATE_URL: this role may not create roles; create the role amrutam_app first"
                ) from None
        await conn.execute(TABLE)
        await conn.execute("grant select on schema_migrations to amrutam_app")


async def _apply_next(conn: Connection[Record], wanted: list[Migration]) -> str | None:
    for attempt in range(1, LOCK_TRIES + 1):
        try:
            async with conn.transaction():
                await conn.execute(LOCK)
                missing = _missing(await conn.fetch(APPLIED), wanted)
                if missing is None:
                    return None
                await conn.execute("set local lock_timeout = '5s'")
                await conn.execute(missing.sql)
                await conn.execute(APPLY, missing.number, missing.name, missing.checksum)
                return missing.name
        except asyncpg.LockNotAvailableError:
            if attempt == LOCK_TRIES:
                raise MigrationRefused("a table that it changes is in use for too long; try again later") from None
            await asyncio.sleep(random.uniform(0.2, 1.0) * attempt)  # noqa: S311 - jitter, no secret
    raise AssertionError("unreachable")


def _missing(rows: list[Record], wanted: list[Migration]) -> Migration | None:
    files_by_number = {migration.number: migration for migration in wanted}
    for row in rows:
        file = files_by_number.get(row["number"])
        if file is None:
            raise MigrationRefused(f"the database has {row['name']}, which is not here: it belongs to a newer version")
        if file.checksum != row["checksum"]:
            raise MigrationRefused(f"migrations/{file.name} was changed after it had been applied; write a new file")
    last = rows[-1]["number"] if rows else 0
    have = {row["number"] for row in rows}
    for migration in wanted:
        if migration.number not in have:
            if migration.number < last:
                raise MigrationRefused(f"migrations/{migration.name} comes before one that is applied already")
            return migration
    return None


def scram_verifier(password: str, *, iterations: int = 4096) -> str:
    """What PostgreSQL stores of an ASCII password (RFC 5803, as libpq makes it)."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{encoded[0]}${encoded[1]}:{encoded[2]}"
