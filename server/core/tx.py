"""The transaction as operations see it, who acts in it, and the Run that errands act through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeVar
from uuid import UUID

from asyncpg import Record
from asyncpg.pool import PoolConnectionProxy
from pydantic import BaseModel

from server.core.events import Event
from server.core.ids import DoctorId, PatientId, SessionId, UserId

A = TypeVar("A")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)


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


@dataclass(slots=True)
class IdempotencyKey:
    """The caller's key for one act: taken inside the transaction, its reply stored at the flush."""

    owner: str
    route: str
    key: str
    body_hash: bytes
    taken: bool = False


@dataclass(slots=True)
class Tx:
    """One transaction: the connection, the moment it began, who acts, and what it tells the house.

    `key` is there only for an operation whose own statement takes the idempotency key (booking).
    """

    conn: PoolConnectionProxy[Record]
    now: datetime
    actor: Actor
    request_id: str = ""
    key: IdempotencyKey | None = None
    events: list[Event] = field(default_factory=lambda: list[Event]())
    reads: list[Seen] = field(default_factory=lambda: list[Seen]())

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

    async def once(
        self,
        operation: Callable[[Tx, Any], Awaitable[M]],
        ask: Any,
        *,
        key: str,
        route: str,
        result: type[M],
        inside: bool = False,
    ) -> M:
        """Run an operation under an idempotency key (a form's hidden field); again gives what it gave at first.

        `route` names the act, as the edge does ("POST /consultations"); `inside` when its own statement takes the key.
        """
        ...

    def acting_as(self, actor: Actor) -> Run:
        """The same errand in another name (a login has just found out whose)."""
        ...
