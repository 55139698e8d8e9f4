"""The transaction as operations see it, who acts in it, and the Run that errands act through."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy
from pydantic import BaseModel

from server.core.batches import Batches, Statement
from server.core.errors import Problem
from server.core.events import Event
from server.core.ids import DoctorId, PatientId, SessionId, UserId

A = TypeVar("A")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)
_ACT = re.compile(r"[A-Za-z0-9_.:+-]{0,80}(\|[A-Za-z0-9_.:+-]{0,80}){4}")


class Role(StrEnum):
    """The seed's three roles, and the house itself (worker, tick), which no session can be."""

    ADMIN = "ADMIN"
    DOCTOR = "DOCTOR"
    PATIENT = "PATIENT"
    SYSTEM = "SYSTEM"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. Anonymous callers have no role; a second-step session may only finish its login."""

    role: Role | None = None
    user_id: UserId | None = None
    patient_id: PatientId | None = None
    patient_n: int | None = None
    doctor_id: DoctorId | None = None
    session_id: SessionId | None = None
    second_step: bool = False
    auth_at: datetime | None = None
    language: str = "en"
    time_zone: str = "Asia/Kolkata"
    scopes: frozenset[str] | None = None  # an API key's; None is a person's session
    address: str = ""

    @property
    def key(self) -> str:
        """What idempotency keys belong to."""
        return str(self.user_id or self.address or "anonymous")


ANONYMOUS = Actor()
SYSTEM = Actor(role=Role.SYSTEM)


@dataclass(frozen=True, slots=True)
class Seen:
    """A read of class 4, to be written to the trail before the reply leaves."""

    patient_id: PatientId
    what: str
    row_id: UUID | None


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The caller's key for one act: taken inside the transaction, its reply stored at the flush."""

    owner: str
    route: str
    key: str
    body_hash: bytes


@dataclass(frozen=True, slots=True)
class LastWord:
    """The one write of an operation that acts at once: sent joined with the flush, and with those of other callers.

    `statement` is what core/outbox's `at_once` made, `row` its columns, `ids` the names of the rows that it makes or
    changes: by them the trail finds who acted. Where it does nothing, since what was looked at has changed meanwhile,
    the operation runs again. `refusals` tells what a constraint's error means, `refusal` that it was not allowed.
    """

    statement: Statement
    row: Sequence[Any]
    ids: Sequence[UUID] = ()
    refusals: Mapping[type[Exception], type[Problem]] = field(default_factory=dict[type[Exception], type[Problem]])
    refusal: type[Problem] = Problem


@dataclass(slots=True)
class Tx:
    """One transaction: the connection, the moment it began, who acts, and what it tells the house.

    An operation that acts at once asks through `batches`, and has a connection only once it has begun or connected;
    `key` is there for it alone: it looks the key up itself, and sets `last`.
    """

    held: PoolConnectionProxy[Record] | None
    now: datetime
    actor: Actor
    request_id: str = ""
    key: IdempotencyKey | None = None
    source: str = "rest"
    events: list[Event] = field(default_factory=lambda: list[Event]())
    reads: list[Seen] = field(default_factory=lambda: list[Seen]())
    last: LastWord | None = None
    batches: Batches | None = None
    connecting: Callable[[], Awaitable[PoolConnectionProxy[Record]]] | None = None
    begun: bool = True

    @property
    def conn(self) -> PoolConnectionProxy[Record]:
        """The transaction's connection."""
        assert self.held is not None, "an operation that acts at once begins, or connects, before it uses a connection"
        return self.held

    async def connect(self) -> PoolConnectionProxy[Record]:
        """The connection; in an operation that acts at once it is without a transaction until `begin`."""
        if self.held is None:
            assert self.connecting is not None
            self.held = await self.connecting()
        return self.held

    async def begin(self) -> None:
        """In an operation that acts at once: hold from here on to the end what is locked, as any other does."""
        if not self.begun:
            conn = await self.connect()
            await conn.execute(f"begin; set local amrutam.tx = '{self.act}'")
            self.begun = True

    async def ask(self, statement: Statement, wish: Any) -> list[Record]:
        """What a statement for many answers this caller: on the way with others where nothing is begun yet."""
        if self.held is not None:
            return await self.held.fetch(statement.text, *statement.fold([wish]))
        assert self.batches is not None
        return await self.batches.ask(statement, wish)

    @property
    def act(self) -> str:
        """Who acts, for the audit trail's trigger: the value of the transaction's one setting, `amrutam.tx`.

        One setting, taken apart there: five would be five statements to parse at each begin.
        """
        actor = self.actor
        act = f"{actor.user_id or ''}|{actor.role or ''}|{self.request_id}|{self.source}|{self.now.isoformat()}"
        if not _ACT.fullmatch(act):
            raise ValueError("a setting of a transaction has characters that are not ours")
        return act

    def emit(self, event: Event) -> None:
        """Say that something happened: stored, numbered and published with this transaction, or not at all."""
        self.events.append(event)

    def saw(self, patient_id: PatientId, what: str, row_id: UUID | None = None) -> None:
        """Say that class 4 of a patient was read. Without its row in the trail there is no reply."""
        self.reads.append(Seen(patient_id, what, row_id))


Operation = Callable[[Tx, A], Awaitable[R]]


class Run(Protocol):
    """What an errand acts through: each operation gets a transaction of its own.

    `key` is handed to the outside as its idempotency key: `event id : step` in a worker's step.
    """

    @property
    def now(self) -> datetime: ...
    @property
    def actor(self) -> Actor: ...
    @property
    def key(self) -> str: ...
    @property
    def request_id(self) -> str: ...

    async def __call__(self, operation: Callable[[Tx, Any], Awaitable[R]], ask: Any) -> R:
        """Run an operation in a transaction that may write."""
        ...

    async def read(self, operation: Callable[[Tx, Any], Awaitable[R]], ask: Any) -> R:
        """Run an operation in a read-only transaction, one snapshot throughout."""
        ...

    async def glance(self, operation: Callable[[Tx, Any], Awaitable[R]], ask: Any) -> R:
        """Run an operation of one reading statement, which needs no transaction around it."""
        ...

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
        """Run an operation under an idempotency key (a form's hidden field); again gives what it gave at first.

        `route` names the act, as the edge does ("POST /consultations"); `at_once` as for Database.write.
        """
        ...

    def acting_as(self, actor: Actor) -> Run:
        """The same errand in another name (a login has just found out whose)."""
        ...
