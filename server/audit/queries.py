"""All SQL of the trail's readers. Rows are written by triggers, the edge and nobody else."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from server.core.ids import PatientId, made_at
from server.core.tx import Tx

# An id begins with its millisecond, which is created_at: the order of (created_at, id) is that of the ids.
LIST = """
    select id, created_at, actor_id, actor_role, source, request_id, action, table_name, row_id, patient_id, changed,
           reason, outcome
      from audit_logs
     where ($1::text is null or table_name = $1)
       and ($2::uuid is null or row_id = $2)
       and ($3::uuid is null or patient_id = $3)
       and ($4::uuid is null or actor_id = $4)
       and ($5::timestamptz is null or (created_at, id) < ($5, $6::uuid))
     order by created_at desc, id desc limit $7
"""
ACCESS = """
    select a.id, a.created_at, a.actor_role, a.action, a.table_name, a.row_id, a.reason, a.outcome,
           d.name as doctor_name
      from audit_logs a
      left join doctors d on d.user_id = a.actor_id
     where a.patient_id = $1 and a.action in ('read', 'refused')
       and ($2::timestamptz is null or (a.created_at, a.id) < ($2, $3::uuid))
     order by a.created_at desc, a.id desc limit $4
"""


async def rows(
    tx: Tx,
    table: str | None,
    row: UUID | None,
    patient: UUID | None,
    actor: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[Record]:
    """Rows of the trail, newest first, older than `before`."""
    at = made_at(before) if before else None
    return await tx.conn.fetch(LIST, table, row, patient, actor, at, before, limit)


async def reads(tx: Tx, patient: PatientId, before: UUID | None, limit: int) -> list[Record]:
    """Reads of a patient's record, newest first, older than `before`."""
    return await tx.conn.fetch(ACCESS, patient, made_at(before) if before else None, before, limit)
