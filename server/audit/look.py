"""Reading the trail: all of it for administrators, who has read their record for patients."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from server.audit import queries
from server.audit.models import AccessRow, AccessRows, AuditRow, AuditRows, ListAudit, ReadAccessLog
from server.core.errors import NotFound
from server.core.tx import Role, Tx


async def list_audit(tx: Tx, ask: ListAudit) -> AuditRows:
    """A page of the trail, newest first."""
    found = await queries.rows(tx, ask.table, ask.row, ask.patient, ask.actor, _before(ask.cursor), ask.limit + 1)
    page = found[: ask.limit]
    return AuditRows(items=[_row(row) for row in page], next_cursor=_cursor(page, more=len(found) > ask.limit))


async def access_log(tx: Tx, ask: ReadAccessLog) -> AccessRows:
    """Who has read the record of the patient who asks, newest first. Raises NotFound for anybody else's."""
    if tx.actor.role is not Role.PATIENT or tx.actor.patient_id != ask.id:
        raise NotFound
    found = await queries.reads(tx, ask.id, _before(ask.cursor), ask.limit + 1)
    page = found[: ask.limit]
    return AccessRows(items=[_access(row) for row in page], next_cursor=_cursor(page, more=len(found) > ask.limit))


def _row(row: Record) -> AuditRow:
    return AuditRow(
        id=row["id"],
        at=row["created_at"],
        actor_id=row["actor_id"],
        actor_role=row["actor_role"],
        source=row["source"],
        request_id=row["request_id"],
        action=row["action"],
        table=row["table_name"],
        row_id=row["row_id"],
        patient_id=row["patient_id"],
        changed=row["changed"],
        reason=row["reason"],
        outcome=row["outcome"],
    )


def _access(row: Record) -> AccessRow:
    return AccessRow(
        id=row["id"],
        at=row["created_at"],
        who=row["doctor_name"],
        role=row["actor_role"],
        what=row["table_name"],
        row_id=row["row_id"],
        action=row["action"],
        reason=row["reason"],
        outcome=row["outcome"],
    )


def _cursor(page: list[Record], *, more: bool) -> str | None:
    if not more:
        return None
    last: UUID = page[-1]["id"]
    return last.hex


def _before(cursor: str | None) -> UUID | None:
    return UUID(hex=cursor) if cursor is not None else None
