"""All SQL of reminders."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from server.core.ids import ConsultationId, made_at, new_id
from server.core.tx import Tx

MAKE_REMINDERS = """
    insert into reminders (id, consultation_id, patient_id, kind, due_at, start_time)
    select r.id, $2, $3, r.kind, r.due_at, $4
      from unnest($1::uuid[], $5::text[], $6::timestamptz[]) r (id, kind, due_at)
    on conflict (consultation_id, kind) do update
       set due_at = excluded.due_at, start_time = excluded.start_time, dropped_at = null,
           sent_at = case when reminders.start_time = excluded.start_time then reminders.sent_at end
"""
DROP_REMINDERS = """
    update reminders set dropped_at = $2
     where consultation_id = $1 and sent_at is null and dropped_at is null and ($3::text[] is null or kind = any($3))
"""
DUE_REMINDERS = """
    select r.id, r.consultation_id, r.kind
      from reminders r
     where r.due_at <= $1 and r.sent_at is null and r.dropped_at is null
     order by r.due_at limit $2 for update skip locked
"""
REMINDED = "update reminders set sent_at = $2 where id = $1"
PUT_OFF = "update reminders set due_at = $2 where id = $1"
LIVE = """
    select c.patient_id, p.user_id, c.start_time, u.time_zone, u.quiet_hours
      from consultations c join patients p on p.id = c.patient_id join users u on u.id = p.user_id
     where c.id = $1 and c.created_at = $2 and c.status = 'PENDING' and c.confirmed_at is not null
"""


async def make_reminders(
    tx: Tx, consultation_id: ConsultationId, patient_id: UUID, start_time: datetime, due: list[tuple[str, datetime]]
) -> None:
    """Ask for these reminders of a start; one that exists moves to its new moment."""
    await tx.conn.execute(
        MAKE_REMINDERS,
        [new_id(tx.now) for _ in due],
        consultation_id,
        patient_id,
        start_time,
        [kind for kind, _ in due],
        [at for _, at in due],
    )


async def drop_reminders(tx: Tx, consultation_id: ConsultationId, kinds: list[str] | None = None) -> None:
    """These reminders will not be sent; all of them when no kinds are named."""
    await tx.conn.execute(DROP_REMINDERS, consultation_id, tx.now, kinds)


async def due_reminders(tx: Tx, limit: int) -> list[Record]:
    """Claim what is due."""
    return await tx.conn.fetch(DUE_REMINDERS, tx.now, limit)


async def reminded(tx: Tx, id_: UUID) -> None:
    """Note that a reminder was written."""
    await tx.conn.execute(REMINDED, id_, tx.now)


async def put_off(tx: Tx, id_: UUID, until: datetime) -> None:
    """Have a reminder wait until then."""
    await tx.conn.execute(PUT_OFF, id_, until)


async def live(tx: Tx, consultation_id: ConsultationId) -> Record | None:
    """A consultation that is still to come: a cancelled or begun one needs no reminder."""
    return await tx.conn.fetchrow(LIVE, consultation_id, made_at(consultation_id))
