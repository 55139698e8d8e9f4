"""What the look into a gateway's books takes and gives."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from server.core.ids import PaymentId
from server.core.models import Ask, Currency, Instant, Model
from server.core.privacy import Level
from server.payments.models import EntryKind, Report

Kind = Literal["capture_not_here", "capture_not_there", "refund_not_here", "refund_not_there", "amount"]
Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$"), Level.PUBLIC]


class Reconcile(Ask):
    """Whose books, and from when to when."""

    id: UUID
    provider: Annotated[str, Level.PUBLIC]
    since: datetime
    until: datetime


class BooksRead(Reconcile):
    """Books that were read to their end: the name of everything in them."""

    seen: Annotated[list[str], Level.INTERNAL]


class BooksPage(Model):
    """A page of a gateway's books."""

    provider: Annotated[str, Level.PUBLIC]
    reports: list[Report]


class BookLine(Model):
    """A line of our ledger, as books name it."""

    name: Annotated[str, Level.INTERNAL]
    kind: EntryKind
    payment_id: PaymentId
    amount_minor: int
    currency: Currency


class ReconciliationsBegun(Model):
    """Whose books the worker looks into now."""

    providers: list[Annotated[str, Level.PUBLIC]]


class ListDifferences(Ask):
    """Where books and ledger differ; `all` shows also what was mended or is gone."""

    all: bool = False
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=200)


class Difference(Model):
    """One thing that a gateway's books and our ledger say differently.

    `reference` is the gateway's name of the payment or of the refund. What no webhook had brought was entered and is
    mended by that; what is gone was found to agree later.
    """

    id: UUID
    provider: Annotated[str, Level.PUBLIC]
    kind: Kind
    reference: Annotated[str, Level.INTERNAL]
    payment_id: PaymentId | None
    ours_minor: int | None
    theirs_minor: int | None
    currency: Currency | None
    found_at: Instant
    seen_at: Instant
    repaired_at: Instant | None
    gone_at: Instant | None


class Differences(Model):
    """A page of differences, and when books were last read to their end."""

    items: list[Difference]
    next_cursor: Annotated[str, Level.PUBLIC] | None
    last_look_at: Instant | None
