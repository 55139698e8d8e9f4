"""The database: one pool, and transactions that begin with their settings, flush what was emitted, and retry.

A write takes four round trips when its operation takes one: `begin` joined with its settings, the operation,
the flush, `commit`. All session state is transaction-local, so connections go back without a reset query.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Generator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import asyncpg
from asyncpg import Connection, Pool, Record
from asyncpg.pool import PoolConnectionProxy
from pydantic import BaseModel

from server.core import outbox
from server.core.batches import Batches
from server.core.cipher import Cipher
from server.core.clock import Clock
from server.core.errors import OutcomeUnknown, Problem, Unavailable
from server.core.idempotency import Replay, body_hash, take_key
from server.core.outbox import Flushed, Stale, StoredReply
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.turns import Turns
from server.core.tx import SYSTEM, Actor, IdempotencyKey, Run, Tx

log = logging.getLogger(__name__)
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)
Body = Callable[[Tx], Awaitable[R]]
Encode = Callable[[Any], StoredReply]

TRIES = 5
WAIT_SECONDS = 5.0  # for a connection
# What another try can mend: deadlock, serialization, a plan that a migration made invalid, a pooled session's end,
# and what had changed between an operation's look and its write.
RETRYABLE = (
    Stale,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
)


class Superuser(Exception):
    """The application was given a role that could do anything. It refuses to start."""


class Database:
    """PostgreSQL for one process."""

    def __init__(self, pool: Pool[Record], clock: Clock, cipher: Cipher, publisher: Publisher) -> None:
        self.pool = pool
        # asyncpg's pool is not fair: with 64 callers on 10 connections the unluckiest waited four times as long.
        self._turns = Turns(pool.get_max_size(), WAIT_SECONDS)
        self._batches = Batches(self._fetch, AWAY)
        self.clock = clock
        self.cipher = cipher
        self.publisher = publisher

    @classmethod
    async def connect(cls, settings: Settings, clock: Clock, cipher: Cipher, publisher: Publisher) -> Database:
        """Open the pool as the application's role. Raises Superuser for one that owns everything."""
        least, most = settings.pool_sizes
        pool = await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=least,
            max_size=most,
            command_timeout=settings.command_timeout_seconds,
            statement_cache_size=200 if settings.statement_cache else 0,
            # Every statement is short and looks rows up by key: planning it anew each time costs more than running it.
            server_settings={
                "application_name": "amrutam",
                "timezone": "UTC",
                "plan_cache_mode": "force_generic_plan",
                "jit": "off",
                # What is looked up by key is mostly in memory; and a plan that reads a small table whole is kept while
                # the table grows.
                "random_page_cost": "1.1",
            },
            reset=_leave_as_it_is,
        )
        if await pool.fetchval("select rolsuper from pg_roles where rolname = current_user"):
            await pool.close()
            raise Superuser("AMRUTAM_DATABASE_URL: this role is a superuser; use amrutam_app, which owns nothing")
        return cls(pool, clock, cipher, publisher)

    async def close(self) -> None:
        """Give every connection back, at most five seconds."""
        try:
            async with asyncio.timeout(5):
                await self.pool.close()
        except (TimeoutError, *AWAY):
            self.pool.terminate()

    async def write(
        self,
        body: Body[R],
        *,
        actor: Actor = SYSTEM,
        request_id: str = "",
        source: str = "rest",
        key: IdempotencyKey | None = None,
        encode: Encode | None = None,
        at_once: bool = False,
    ) -> R:
        """Run `body` in a transaction; returning commits, raising rolls back. Retries what another try can mend.

        A body that acts `at_once` looks first, each statement for itself, and leaves its one write in `tx.last`: sent
        joined with the flush it is a transaction of one round trip, and no lock waits for this process in between.
        Looks and writes of callers that come together travel together (core/batches).
        """
        once = self._act_at_once if at_once else self._write_once
        for attempt in range(1, TRIES + 1):
            try:
                return await once(body, actor, request_id, source, key, encode)
            except RETRYABLE:
                if attempt == TRIES:
                    raise Unavailable("Too many people want the same thing at once.", retry_after_seconds=1) from None
                await asyncio.sleep(random.uniform(0.002, 0.02) * attempt)  # noqa: S311 - jitter, no secret
            except asyncpg.UniqueViolationError as error:
                # A twin with the same idempotency key committed between our look and our flush: look again.
                if error.constraint_name != "idempotency_keys_pkey" or attempt == TRIES:
                    raise
            except Problem as problem:
                if problem.record is not None:
                    await self._record(problem, actor, request_id, source)
                raise
        raise AssertionError("unreachable")

    async def _write_once(
        self,
        body: Body[R],
        actor: Actor,
        request_id: str,
        source: str,
        key: IdempotencyKey | None,
        encode: Encode | None,
    ) -> R:
        committing = False
        flushed = Flushed()
        try:
            async with self._turns as left, self.pool.acquire(timeout=left) as conn:
                tx = Tx(conn, self.clock(), actor, request_id, key, source)
                try:
                    await conn.execute(_begin("begin", tx))
                    result = await body(tx)
                    reply = encode(result) if encode is not None and tx.key is not None else None
                    flushed = await outbox.flush(tx, self.cipher, reply)
                    committing = True
                    await conn.execute("commit")
                    committing = False
                finally:
                    await _roll_back(conn)
        except AWAY as error:
            raise _away(error, committing=committing) from error
        self._publish(tx, flushed)
        return result

    async def _act_at_once(
        self,
        body: Body[R],
        actor: Actor,
        request_id: str,
        source: str,
        key: IdempotencyKey | None,
        encode: Encode | None,
    ) -> R:
        acting = False
        try:
            async with contextlib.AsyncExitStack() as stack:
                tx = Tx(None, self.clock(), actor, request_id, key, source, begun=False)
                tx.batches, tx.connecting = self._batches, partial(self._connection, stack)
                result = await body(tx)
                reply = encode(result) if encode is not None and tx.key is not None else None
                acting = True
                flushed = await outbox.act_at_once(tx, self.cipher, reply)
                if tx.begun:
                    await tx.conn.execute("commit")
        except AWAY as error:
            raise _away(error, committing=acting) from error
        self._publish(tx, flushed)
        return result

    async def _connection(self, stack: contextlib.AsyncExitStack) -> PoolConnectionProxy[Record]:
        """A connection until the stack ends, which rolls back what was begun and not committed."""
        left = await stack.enter_async_context(self._turns)
        conn = await stack.enter_async_context(self.pool.acquire(timeout=left))
        stack.push_async_callback(_roll_back, conn)
        return conn

    async def _fetch(self, statement: str, args: Sequence[Any]) -> list[Record]:
        async with self._turns as left, self.pool.acquire(timeout=left) as conn:
            return await conn.fetch(statement, *args)

    def _publish(self, tx: Tx, flushed: Flushed) -> None:
        self.publisher.drop(tx.events)
        self.publisher.hand(flushed.frames, relay=flushed.due)
        self.publisher.tell(tx.events)

    async def read(self, body: Body[R], *, actor: Actor = SYSTEM, request_id: str = "", source: str = "rest") -> R:
        """Run `body` in a read-only transaction of one snapshot; reads of class 4 are recorded before it returns."""
        for attempt in range(1, TRIES + 1):
            try:
                async with self._turns as left, self.pool.acquire(timeout=left) as conn:
                    tx = Tx(conn, self.clock(), actor, request_id, source=source)
                    try:
                        await conn.execute(_begin("begin isolation level repeatable read read only", tx))
                        result = await body(tx)
                        await conn.execute("commit")
                    finally:
                        await _roll_back(conn)
                    if tx.events:
                        raise TypeError("a read emitted an event")
                    if tx.reads:
                        await outbox.record_reads(tx)
                    return result
            except RETRYABLE:
                if attempt == TRIES:
                    raise Unavailable(retry_after_seconds=1) from None
            except AWAY as error:
                raise _away(error, committing=False) from error
        raise AssertionError("unreachable")

    async def brief(self, body: Body[R]) -> R:
        """Run a body of one statement, which is its own transaction: plumbing, without settings and flush."""
        with _of_one_statement():
            async with self._turns as left, self.pool.acquire(timeout=left) as conn:
                tx = Tx(conn, self.clock(), SYSTEM)
                return _unflushed(tx, await body(tx))

    async def together(self, body: Body[R]) -> R:
        """The same for a body of one statement for many: it travels with those of whoever asks at the same moment."""
        with _of_one_statement():
            async with contextlib.AsyncExitStack() as stack:
                tx = Tx(None, self.clock(), SYSTEM, begun=False)
                tx.batches, tx.connecting = self._batches, partial(self._connection, stack)
                return _unflushed(tx, await body(tx))

    async def _record(self, problem: Problem, actor: Actor, request_id: str, source: str) -> None:
        record = problem.record
        assert record is not None

        async def emit(tx: Tx) -> None:
            tx.emit(record)

        await self._write_once(emit, actor, request_id, source, None, None)

    def run(self, *, actor: Actor, request_id: str = "", source: str = "rest", key: str = "") -> Run:
        """A Run for an errand."""
        return _Run(self, actor, request_id, source, key)


class _Run:
    def __init__(self, database: Database, actor: Actor, request_id: str, source: str, key: str) -> None:
        self._database = database
        self._source = source
        self.actor = actor
        self.request_id = request_id
        self.key = key

    @property
    def now(self) -> datetime:
        return self._database.clock()

    async def __call__(self, operation: Callable[[Tx, Any], Awaitable[R]], ask: Any) -> R:
        return await self._database.write(
            lambda tx: operation(tx, ask), actor=self.actor, request_id=self.request_id, source=self._source
        )

    async def read(self, operation: Callable[[Tx, Any], Awaitable[R]], ask: Any) -> R:
        return await self._database.read(
            lambda tx: operation(tx, ask), actor=self.actor, request_id=self.request_id, source=self._source
        )

    async def glance(self, operation: Callable[[Tx, Any], Awaitable[R]], ask: Any) -> R:
        return await self._database.brief(lambda tx: operation(tx, ask))

    async def once(
        self,
        operation: Callable[[Tx, Any], Awaitable[M]],
        ask: Any,
        *,
        key: str,
        route: str,
        result: type[M],
        at_once: bool = False,
    ) -> M:
        async def act(tx: Tx) -> M:
            if not at_once:
                await take_key(tx, self._database.cipher)
            return await operation(tx, ask)

        owned = IdempotencyKey(self.actor.key, route, key, body_hash(ask.model_dump(mode="json", exclude_none=True)))
        try:
            return await self._database.write(
                act,
                actor=self.actor,
                request_id=self.request_id,
                source=self._source,
                key=owned,
                encode=lambda done: StoredReply(200, done.model_dump_json().encode()),
                at_once=at_once,
            )
        except Replay as replay:
            return result.model_validate_json(replay.body)

    def acting_as(self, actor: Actor) -> Run:
        return _Run(self._database, actor, self.request_id, self._source, self.key)


def _begin(begin: str, tx: Tx) -> str:
    """`begin` and the transaction's setting in one message. Its values are ours, and were checked all the same."""
    return f"{begin}; set local amrutam.tx = '{tx.act}'"


async def _roll_back(conn: PoolConnectionProxy[Record]) -> None:
    if not conn.is_closed() and conn.is_in_transaction():
        await conn.execute("rollback")


async def _leave_as_it_is(conn: Connection[Record]) -> None:
    """No reset query: settings and locks are transaction-local (a test proves it)."""


@contextlib.contextmanager
def _of_one_statement() -> Generator[None]:
    try:
        yield
    except RETRYABLE:
        raise Unavailable(retry_after_seconds=1) from None
    except AWAY as error:
        raise _away(error, committing=False) from error


def _unflushed(tx: Tx, result: R) -> R:
    if tx.events or tx.reads:
        raise TypeError("a brief statement has no flush")
    return result


def _away(error: BaseException, *, committing: bool) -> Problem:
    log.warning("database away", extra={"error": type(error).__name__})
    if committing:
        return OutcomeUnknown(retry_after_seconds=2)
    return Unavailable("The database is away for a moment. Nothing was changed.", retry_after_seconds=2)
