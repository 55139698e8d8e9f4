"""All SQL of consultations: the row and its status, the queue, lists. The chat's and the notes' is in chat_queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record

from server.consultations.models import Consultation, ConsultationPayment, DelayNotice, Readiness
from server.consultations.status import Status
from server.core.cipher import Cipher, Erased, Place
from server.core.ids import ConsultationId, DoctorId, PatientId, SlotId, made_at
from server.core.tx import Tx

READ = """
    select c.id, c.status, c.slot_id, c.doctor_id, c.patient_id, c.start_time, c.end_time, c.meeting_link,
           c.confirmed_at, c.checked_in_at, c.called_at, c.started_at, c.ended_at, c.ended_as,
           c.queued_at, c.transferred_at,
           pay.id as payment_id, pay.status as payment_status, pay.amount_minor, pay.currency, pay.expires_at
      from consultations c join payments pay on pay.consultation_id = c.id
     where c.id = $1 and c.created_at = $2
"""
# Whoever changes a doctor's queue takes its lock first, then the row: positions are then those of everybody's commits.
LOCK_QUEUE = """
    select pg_advisory_xact_lock(hashtextextended('queue|' || doctor_id::text, 0))
      from consultations where id = $1 and created_at = $2
"""
# NO KEY UPDATE: chat messages and prescriptions, which refer to the row, need not wait.
HOLD = """
    select c.id, c.status, c.slot_id, c.doctor_id, c.patient_id, c.start_time, c.end_time, c.meeting_link,
           c.confirmed_at, c.checked_in_at, c.called_at, c.started_at, c.ended_at, c.ended_as,
           c.queued_at, c.transferred_at,
           pay.id as payment_id, pay.status as payment_status, pay.amount_minor, pay.currency, pay.expires_at
      from consultations c join payments pay on pay.consultation_id = c.id
     where c.id = $1 and c.created_at = $2
       for no key update of c
"""
KEEP = """
    update consultations
       set status = $4, confirmed_at = $5, checked_in_at = $6, called_at = $7, started_at = $8, ended_at = $9,
           ended_as = $10, queued_at = $11
     where id = $1 and created_at = $2 and status = $3
"""
MOVE = """
    update consultations
       set slot_id = $3, start_time = $4, end_time = $5, checked_in_at = null, called_at = null, queued_at = null,
           calendar_sequence = calendar_sequence + 1
     where id = $1 and created_at = $2 and status = 'PENDING'
"""
# Who sat in the waiting room goes on sitting there, with the time of the check-in.
HAND_ON = """
    update consultations
       set doctor_id = $3, slot_id = $4, start_time = $5, end_time = $6, queued_at = null,
           checked_in_at = case when $7 then checked_in_at end,
           transferred_from = doctor_id, transferred_at = $8, calendar_sequence = calendar_sequence + 1
     where id = $1 and created_at = $2 and status = 'PENDING'
"""
# In one order, whoever takes two: two transfers that cross wait for each other, and never both.
LOCK_QUEUES = """
    select pg_advisory_xact_lock(hashtextextended('queue|' || doctor_id, 0))
      from (select distinct unnest($1::text[]) as doctor_id order by 1) as d
"""
KEEP_READINESS = """
    update consultations set readiness = $3::jsonb
     where id = $1 and created_at = $2 and readiness is distinct from $3::jsonb
"""
PARTIES = "select patient_id, doctor_id, status, ended_at from consultations where id = $1 and created_at = $2"
TREATS = """
    select exists (
        select 1 from consultations
         where doctor_id = $1 and patient_id = $2
           and (status in ('PENDING', 'ACTIVE') or status = 'COMPLETED' and ended_at > $3)
    )
"""
# "Today" is the doctor's. Those who checked in stay listed past midnight, and ahead of their day.
QUEUE = """
    select c.id as consultation_id, c.status, c.start_time, c.confirmed_at, c.checked_in_at, c.called_at, c.started_at,
           coalesce(c.queued_at, c.checked_in_at) as queued_at, c.queued_at is not null as let_go_first, c.readiness,
           u.id as user_id, u.name as patient_name,
           c.status = 'ACTIVE' or c.status = 'PENDING' and c.confirmed_at is not null and (
               date_trunc('day', c.start_time at time zone d.time_zone)
                   = date_trunc('day', $2::timestamptz at time zone d.time_zone)
               or c.checked_in_at is not null
                   and (c.start_time > $2 or c.checked_in_at > $2::timestamptz - interval '12 hours')
           ) as listed
      from consultations c
      join doctors d on d.id = c.doctor_id
      join patients p on p.id = c.patient_id
      join users u on u.id = p.user_id
     where c.doctor_id = $1 and c.start_time >= $3 and (c.status in ('PENDING', 'ACTIVE') or c.id = $4)
     order by c.start_time, c.id
"""
# What this doctor's consultations took lately, the latest first.
LATELY = """
    select start_time, checked_in_at, started_at, ended_at
      from consultations
     where doctor_id = $1 and started_at is not null and start_time > $2::timestamptz - interval '180 days'
       and status in ('ACTIVE', 'COMPLETED')
     order by start_time desc limit 45
"""
SLOT_SECONDS = "select slot_minutes * 60 as seconds from doctors where id = $1"
NOTICE = """
    select minutes, reason, said_at + make_interval(mins => minutes) as back_at from queue_notices
     where doctor_id = $1 and said_at + make_interval(mins => minutes) > $2
"""
KEEP_NOTICE = """
    insert into queue_notices (id, doctor_id, minutes, reason, said_at) values ($1, $2, $3, $4, $5)
    on conflict (doctor_id) do update
       set minutes = excluded.minutes, reason = excluded.reason, said_at = excluded.said_at
"""
DROP_NOTICE = """
    delete from queue_notices where doctor_id = $1
    returning said_at + make_interval(mins => minutes) > $2 as was_live
"""
PEOPLE = """
    select d.name as doctor_name, d.specialty, u.id as user_id, u.name as patient_name
      from consultations c
      join doctors d on d.id = c.doctor_id
      join patients p on p.id = c.patient_id
      join users u on u.id = p.user_id
     where c.id = $1 and c.created_at = $2
"""
NO_NAME = "–"
PAYABLE = ("pending", "failed")


def consultation_from(row: Record) -> Consultation:
    """The consultation of a row with the columns of READ."""
    payable = row["status"] == "PENDING" and row["payment_status"] in PAYABLE and row["amount_minor"] > 0
    payment = ConsultationPayment(
        id=row["payment_id"],
        status=row["payment_status"],
        amount=row["amount_minor"],
        currency=row["currency"],
        checkout_url=f"/checkout/{row['payment_id']}" if payable else None,
        expires_at=row["expires_at"],
    )
    return Consultation(
        id=row["id"],
        status=Status(row["status"]),
        slot_id=row["slot_id"],
        doctor_id=row["doctor_id"],
        patient_id=row["patient_id"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        meeting_link=row["meeting_link"],
        confirmed_at=row["confirmed_at"],
        checked_in_at=row["checked_in_at"],
        called_at=row["called_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        ended_as=row["ended_as"],
        queued_at=row["queued_at"],
        transferred_at=row["transferred_at"],
        payment=payment,
    )


async def patient_name(tx: Tx, row: Record, cipher: Cipher) -> str:
    """The name in a row with `user_id` and the sealed `patient_name`; a dash for one whose data was erased."""
    user_id: UUID = row["user_id"]
    try:
        return await cipher.open(tx, user_id, Place("users", "name", user_id), row["patient_name"])
    except Erased:
        return NO_NAME


async def read(tx: Tx, id_: ConsultationId) -> Consultation | None:
    """A consultation, or None."""
    row = await tx.conn.fetchrow(READ, id_, made_at(id_))
    return consultation_from(row) if row else None


async def hold(tx: Tx, id_: ConsultationId) -> Consultation | None:
    """A consultation that nobody else changes until this transaction ends, nor its doctor's queue; or None."""
    if not await tx.conn.fetch(LOCK_QUEUE, id_, made_at(id_)):
        return None
    row = await tx.conn.fetchrow(HOLD, id_, made_at(id_))
    return consultation_from(row) if row else None


async def keep(tx: Tx, before: Consultation, after: Consultation) -> None:
    """Store the status and times of a held consultation."""
    await tx.conn.execute(
        KEEP,
        after.id,
        made_at(after.id),
        before.status,
        after.status,
        after.confirmed_at,
        after.checked_in_at,
        after.called_at,
        after.started_at,
        after.ended_at,
        after.ended_as,
        after.queued_at,
    )


async def move(tx: Tx, id_: ConsultationId, slot_id: SlotId, start: datetime, end: datetime) -> None:
    """Put a held consultation into another slot; its calendar entry gets the next number."""
    await tx.conn.execute(MOVE, id_, made_at(id_), slot_id, start, end)


async def lock_queues(tx: Tx, *doctors: DoctorId) -> None:
    """Hold the queues of several doctors, in one order whoever asks."""
    await tx.conn.fetch(LOCK_QUEUES, [str(doctor_id) for doctor_id in doctors])


async def hand_on(
    tx: Tx,
    id_: ConsultationId,
    doctor_id: DoctorId,
    slot_id: SlotId,
    start: datetime,
    end: datetime,
    *,
    keeps_check_in: bool,
) -> None:
    """Give a held consultation to another doctor, in a slot of theirs."""
    await tx.conn.execute(HAND_ON, id_, made_at(id_), doctor_id, slot_id, start, end, keeps_check_in, tx.now)


async def keep_readiness(tx: Tx, id_: ConsultationId, readiness: Readiness) -> bool:
    """Store what the device check found; whether it is news."""
    done = await tx.conn.execute(KEEP_READINESS, id_, made_at(id_), readiness.model_dump_json())
    return done == "UPDATE 1"


async def notice(tx: Tx, doctor_id: DoctorId) -> DelayNotice | None:
    """What the doctor tells all who wait, while it holds."""
    row = await tx.conn.fetchrow(NOTICE, doctor_id, tx.now)
    return DelayNotice.model_validate(dict(row)) if row else None


async def keep_notice(tx: Tx, notice_id: UUID, doctor_id: DoctorId, minutes: int, reason: str) -> None:
    """Store it, in the place of an earlier one."""
    await tx.conn.execute(KEEP_NOTICE, notice_id, doctor_id, minutes, reason, tx.now)


async def drop_notice(tx: Tx, doctor_id: DoctorId) -> bool:
    """Take it back; whether there was one that still held."""
    return bool(await tx.conn.fetchval(DROP_NOTICE, doctor_id, tx.now))


async def parties(tx: Tx, id_: ConsultationId) -> Record | None:
    """Whose consultation it is, its status and end."""
    return await tx.conn.fetchrow(PARTIES, id_, made_at(id_))


async def treats(tx: Tx, doctor_id: DoctorId, patient_id: PatientId, since: datetime) -> bool:
    """Whether a doctor has a live consultation with a patient, or one completed after `since`."""
    return bool(await tx.conn.fetchval(TREATS, doctor_id, patient_id, since))


async def queue(tx: Tx, doctor_id: DoctorId, also: Consultation | None = None) -> list[Record]:
    """Rows of the doctor's live consultations of the last week and later, and one more that may be over."""
    first = tx.now - timedelta(days=7)
    if also is not None:
        first = min(first, also.start_time)
    return await tx.conn.fetch(QUEUE, doctor_id, tx.now, first, also.id if also else None)


async def lately(tx: Tx, doctor_id: DoctorId) -> tuple[list[Record], int]:
    """The doctor's latest consultations that began, and the seconds of a slot."""
    rows = await tx.conn.fetch(LATELY, doctor_id, tx.now)
    return rows, int(await tx.conn.fetchval(SLOT_SECONDS, doctor_id) or 900)


async def people(tx: Tx, id_: ConsultationId) -> Record | None:
    """The names beside a consultation."""
    return await tx.conn.fetchrow(PEOPLE, id_, made_at(id_))
