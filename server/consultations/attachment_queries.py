"""All SQL of attachments."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from server.core.ids import AttachmentId, ConsultationId, PatientId, UserId
from server.core.tx import Tx

# One who sends several at once takes turns: the counts are then those of everybody's commits.
LOCK_UPLOADS = "select pg_advisory_xact_lock(hashtextextended('uploads|' || $1::uuid::text, 0))"
SENT = """
    select count(*) filter (where consultation_id = $2) as here,
           coalesce(sum(size_bytes) filter (where state <> 'blocked'), 0)::bigint as bytes
      from attachments where uploaded_by = $1
"""
ADD = """
    insert into attachments (id, consultation_id, patient_id, uploaded_by, name, content_type, size_bytes, object_name,
                             created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
READ = """
    select id, consultation_id, patient_id, uploaded_by, name, content_type, size_bytes, object_name, state, created_at
      from attachments where id = $1
"""
OF_CONSULTATION = """
    select id, consultation_id, patient_id, uploaded_by, name, content_type, size_bytes, object_name, state, created_at
      from attachments where consultation_id = $1 order by created_at, id
"""
SOME = """
    select id, consultation_id, patient_id, uploaded_by, name, content_type, size_bytes, object_name, state, created_at
      from attachments where id = any($1)
"""
SETTLE = "update attachments set state = $2 where id = $1 and state = 'pending'"


async def sent_so_far(tx: Tx, user_id: UserId, consultation_id: ConsultationId) -> tuple[int, int]:
    """How many files somebody has sent in this consultation, and how many bytes in all; held until the end."""
    await tx.conn.execute(LOCK_UPLOADS, user_id)
    row = await tx.conn.fetchrow(SENT, user_id, consultation_id)
    assert row is not None
    return row["here"], row["bytes"]


async def add(
    tx: Tx,
    id_: AttachmentId,
    consultation_id: ConsultationId,
    patient_id: PatientId,
    sender: UserId,
    name: bytes,
    content_type: str,
    size_bytes: int,
    object_name: str,
) -> None:
    """Keep what is known of a file that is stored."""
    await tx.conn.execute(
        ADD, id_, consultation_id, patient_id, sender, name, content_type, size_bytes, object_name, tx.now
    )


async def read(tx: Tx, id_: AttachmentId) -> Record | None:
    """One file's row."""
    return await tx.conn.fetchrow(READ, id_)


async def of_consultation(tx: Tx, consultation_id: ConsultationId) -> list[Record]:
    """A consultation's files, oldest first."""
    return await tx.conn.fetch(OF_CONSULTATION, consultation_id)


async def some(tx: Tx, ids: Sequence[UUID]) -> list[Record]:
    """The rows of these."""
    return await tx.conn.fetch(SOME, ids)


async def settle(tx: Tx, id_: AttachmentId, state: str) -> bool:
    """Say what a file that was pending turned out to be; whether it was pending."""
    return await tx.conn.execute(SETTLE, id_, state) == "UPDATE 1"
