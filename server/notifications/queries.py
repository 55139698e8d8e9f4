"""All SQL of notifications and reminders."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from asyncpg import Record

from server.core.ids import ConsultationId, UserId, made_at, new_id
from server.core.tx import Tx

MEETING = """
    select c.id as consultation_id, p.user_id as patient_user_id, d.name as doctor_name, d.user_id as doctor_user_id,
           c.start_time, c.end_time, c.calendar_sequence as sequence, c.meeting_link as link, c.ended_as,
           pay.amount_minor, pay.currency, pay.status as payment_status
      from consultations c
      join patients p on p.id = c.patient_id
      join doctors d on d.id = c.doctor_id
      join payments pay on pay.consultation_id = c.id
     where c.id = $1 and c.created_at = $2
"""
QUEUE = """
    insert into notifications (id, user_id, channel, cause, content, created_at) values ($1, $2, $3, $4, $5, $6)
    on conflict (cause) do nothing returning id
"""
TAKE = "select id, user_id, channel, content, state from notifications where id = $1"
SENT = "update notifications set state = 'sent', sent_at = $2, error = null where id = $1 and state <> 'sent'"
LATEST = (
    "select id, user_id, channel, content, created_at from notifications order by created_at desc, id desc limit $1"
)
MAKE_REMINDERS = """
    insert into reminders (id, consultation_id, patient_id, kind, due_at)
    select * from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[])
    on conflict (consultation_id, kind) do update
       set due_at = excluded.due_at, dropped_at = null,
           sent_at = case when reminders.due_at = excluded.due_at then reminders.sent_at end
"""
DROP_REMINDERS = """
    update reminders set dropped_at = $2
     where consultation_id = $1 and sent_at is null and dropped_at is null and ($3::text[] is null or kind = any($3))
"""
DUE_REMINDERS = """
    select r.id, r.consultation_id, r.kind
      from reminders r
     where r.due_at <= $1 and r.sent_at is null and r.dropped_at is null
     order by r.due_at limit 50 for update skip locked
"""
REMINDED = "update reminders set sent_at = $2 where id = $1"
LIVE = """
    select c.patient_id, p.user_id, c.start_time
      from consultations c join patients p on p.id = c.patient_id
     where c.id = $1 and c.created_at = $2 and c.status = 'PENDING' and c.confirmed_at is not null
"""


async def meeting(tx: Tx, consultation_id: ConsultationId) -> Record | None:
    """What letters say of a consultation."""
    return await tx.conn.fetchrow(MEETING, consultation_id, made_at(consultation_id))


async def queue(tx: Tx, id_: UUID, user_id: UserId, channel: str, cause: str, content: bytes) -> bool:
    """Store a message; False when its cause has one already."""
    return await tx.conn.fetchval(QUEUE, id_, user_id, channel, cause, content, tx.now) is not None


async def take(tx: Tx, id_: UUID) -> Record | None:
    """A stored message."""
    return await tx.conn.fetchrow(TAKE, id_)


async def sent(tx: Tx, id_: UUID) -> None:
    """Note that a message left."""
    await tx.conn.execute(SENT, id_, tx.now)


async def latest(tx: Tx, limit: int) -> list[Record]:
    """The newest messages first."""
    return await tx.conn.fetch(LATEST, limit)


async def make_reminders(
    tx: Tx, consultation_id: ConsultationId, patient_id: UUID, due: list[tuple[str, datetime]]
) -> None:
    """Ask for these reminders; one that exists moves to its new moment."""
    await tx.conn.execute(
        MAKE_REMINDERS,
        [new_id(tx.now) for _ in due],
        [consultation_id for _ in due],
        [patient_id for _ in due],
        [kind for kind, _ in due],
        [at for _, at in due],
    )


async def drop_reminders(tx: Tx, consultation_id: ConsultationId, kinds: list[str] | None = None) -> None:
    """These reminders will not be sent; all of them when no kinds are named."""
    await tx.conn.execute(DROP_REMINDERS, consultation_id, tx.now, kinds)


async def due_reminders(tx: Tx) -> list[Record]:
    """Claim what is due."""
    return await tx.conn.fetch(DUE_REMINDERS, tx.now)


async def reminded(tx: Tx, id_: UUID) -> None:
    """Note that a reminder was written."""
    await tx.conn.execute(REMINDED, id_, tx.now)


async def live(tx: Tx, consultation_id: ConsultationId) -> Record | None:
    """A consultation that is still to come: a cancelled or begun one needs no reminder."""
    return await tx.conn.fetchrow(LIVE, consultation_id, made_at(consultation_id))
