"""All SQL of consultations: the row and its status, the queue, lists. The chat's and the notes' is in chat_queries."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from asyncpg import Record

from server.consultations.models import Consultation, ConsultationPayment
from server.consultations.status import Status
from server.core.cipher import Cipher, Erased, Place
from server.core.ids import ConsultationId, DoctorId, PatientId, SlotId, made_at
from server.core.tx import Tx

READ = """
    select c.id, c.status, c.slot_id, c.doctor_id, c.patient_id, c.start_time, c.end_time, c.meeting_link,
           c.confirmed_at, c.checked_in_at, c.called_at, c.started_at, c.ended_at, c.ended_as,
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
           pay.id as payment_id, pay.status as payment_status, pay.amount_minor, pay.currency, pay.expires_at
      from consultations c join payments pay on pay.consultation_id = c.id
     where c.id = $1 and c.created_at = $2
       for no key update of c
"""
KEEP = """
    update consultations
       set status = $4, confirmed_at = $5, checked_in_at = $6, called_at = $7, started_at = $8, ended_at = $9,
           ended_as = $10
     where id = $1 and created_at = $2 and status = $3
"""
MOVE = """
    update consultations
       set slot_id = $3, start_time = $4, end_time = $5, checked_in_at = null, called_at = null,
           calendar_sequence = calendar_sequence + 1
     where id = $1 and created_at = $2 and status = 'PENDING'
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
    select status, start_time, started_at, ended_at
      from consultations
     where doctor_id = $1 and started_at is not null and start_time > $2::timestamptz - interval '180 days'
       and status in ('ACTIVE', 'COMPLETED')
     order by start_time desc limit 45
"""
SLOT_SECONDS = "select slot_minutes * 60 as seconds from doctors where id = $1"
LIST_UPCOMING = """
    select c.id, c.status, c.slot_id, c.doctor_id, c.patient_id, c.start_time, c.end_time, c.meeting_link,
           c.confirmed_at, c.checked_in_at, c.called_at, c.started_at, c.ended_at, c.ended_as,
           pay.id as payment_id, pay.status as payment_status, pay.amount_minor, pay.currency, pay.expires_at,
           d.name as doctor_name, d.specialty, u.id as user_id, u.name as patient_name
      from consultations c
      join payments pay on pay.consultation_id = c.id
      join doctors d on d.id = c.doctor_id
      join patients p on p.id = c.patient_id
      join users u on u.id = p.user_id
     where ($1::uuid is null or c.patient_id = $1) and ($2::uuid is null or c.doctor_id = $2)
       and ($3::text is null or c.status = $3) and c.status in ('PENDING', 'ACTIVE')
       and (c.end_time > $4 or c.status = 'ACTIVE' or c.called_at is not null)
       and ($5::timestamptz is null or (c.start_time, c.id) > ($5, $6::uuid))
     order by c.start_time, c.id limit $7
"""
LIST_LATEST = """
    select c.id, c.status, c.slot_id, c.doctor_id, c.patient_id, c.start_time, c.end_time, c.meeting_link,
           c.confirmed_at, c.checked_in_at, c.called_at, c.started_at, c.ended_at, c.ended_as,
           pay.id as payment_id, pay.status as payment_status, pay.amount_minor, pay.currency, pay.expires_at,
           d.name as doctor_name, d.specialty, u.id as user_id, u.name as patient_name
      from consultations c
      join payments pay on pay.consultation_id = c.id
      join doctors d on d.id = c.doctor_id
      join patients p on p.id = c.patient_id
      join users u on u.id = p.user_id
     where ($1::uuid is null or c.patient_id = $1) and ($2::uuid is null or c.doctor_id = $2)
       and ($3::text is null or c.status = $3)
       and (not $8::boolean or c.status in ('COMPLETED', 'CANCELLED')
            or c.end_time <= $4 and c.status = 'PENDING' and c.called_at is null)
       and ($5::timestamptz is null or (c.start_time, c.id) < ($5, $6::uuid))
     order by c.start_time desc, c.id desc limit $7
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
    )


async def move(tx: Tx, id_: ConsultationId, slot_id: SlotId, start: datetime, end: datetime) -> None:
    """Put a held consultation into another slot; its calendar entry gets the next number."""
    await tx.conn.execute(MOVE, id_, made_at(id_), slot_id, start, end)


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


async def upcoming(
    tx: Tx,
    patient_id: PatientId | None,
    doctor_id: DoctorId | None,
    status: Status | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Record]:
    """Consultations that are to come or under way, soonest first."""
    start, id_ = after or (None, None)
    return await tx.conn.fetch(LIST_UPCOMING, patient_id, doctor_id, status, tx.now, start, id_, limit)


async def latest(
    tx: Tx,
    patient_id: PatientId | None,
    doctor_id: DoctorId | None,
    status: Status | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
    only_past: bool,  # noqa: FBT001 - a column of the statement
) -> list[Record]:
    """Consultations, the latest first; all, or those that are over."""
    start, id_ = after or (None, None)
    return await tx.conn.fetch(LIST_LATEST, patient_id, doctor_id, status, tx.now, start, id_, limit, only_past)


async def people(tx: Tx, id_: ConsultationId) -> Record | None:
    """The names beside a consultation."""
    return await tx.conn.fetchrow(PEOPLE, id_, made_at(id_))
