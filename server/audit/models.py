"""What the trail takes and gives."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from server.core.ids import PatientId, UserId
from server.core.models import Ask, Instant, Model
from server.core.privacy import Level

Action = Literal["insert", "update", "delete", "read", "refused", "note"]
TableName = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z_]+$"), Level.INTERNAL]
Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$"), Level.PUBLIC]


class ListAudit(Ask):
    """Rows of the trail, newest first; all filters together."""

    table: TableName | None = None
    row: UUID | None = None
    patient: PatientId | None = None
    actor: UserId | None = None
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=200)


class AuditRow(Model):
    """Who did what to which row, and which fields that changed; never what they say."""

    id: UUID
    at: Instant
    actor_id: UUID | None
    actor_role: Annotated[str, Level.INTERNAL] | None
    source: Annotated[str, Level.INTERNAL]
    request_id: Annotated[str, Level.INTERNAL] | None
    action: Action
    table: Annotated[str, Level.INTERNAL]
    row_id: UUID | None
    patient_id: UUID | None
    changed: list[Annotated[str, Level.INTERNAL]]
    reason: Annotated[str, Level.SENSITIVE] | None
    outcome: Annotated[str, Level.INTERNAL]


class AuditRows(Model):
    """A page of the trail."""

    items: list[AuditRow]
    next_cursor: Annotated[str, Level.PUBLIC] | None


class ReadAccessLog(Ask):
    """The patient whose record was read."""

    id: PatientId
    cursor: Cursor | None = None
    limit: int = Field(default=50, ge=1, le=200)


class AccessRow(Model):
    """Who read what of a patient's record, or tried to. `who` is a doctor's public name; None for anybody else."""

    id: UUID
    at: Instant
    who: Annotated[str, Level.PUBLIC] | None
    role: Annotated[str, Level.INTERNAL] | None
    what: Annotated[str, Level.INTERNAL]
    row_id: UUID | None
    action: Action
    reason: Annotated[str, Level.SENSITIVE] | None
    outcome: Annotated[str, Level.INTERNAL]


class AccessRows(Model):
    """A page of an access log, newest first."""

    items: list[AccessRow]
    next_cursor: Annotated[str, Level.PUBLIC] | None
