"""SQL of booking: a look, and the one statement that books.

Booking owns no table. Everywhere else the tables' owners write them; here
slot, consultation, payment, ledger entry and consent are folded into one statement, joined with the flush, because
bookings a second are what the benchmark watches.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from asyncpg import Record

from server.booking.problems import PatientBusy
from server.consultations import PaymentStatus
from server.core.errors import Problem
from server.core.ids import ConsultationId, DoctorId, PatientId, PaymentId, SlotId, made_at
from server.core.outbox import at_once
from server.core.tx import LastWord, Tx
from server.payments import order_by_our_name

CONSENT = "teleconsultation"
CONSENT_VERSION = "1"

# What is true before anything is written: the key's earlier answer, the slot and its doctor, the patient.
LOOK = """
    select k.body_hash, k.status, k.reply,
           s.id as slot_id, s.doctor_id, s.start_time, s.end_time, s.status as slot_status, s.version, s.patient_n,
           s.offered_until > $5::timestamptz and s.offered_n is distinct from $6::int as kept,
           d.fee_minor, d.currency, d.time_zone, d.lead_minutes, d.horizon_days, d.daily_limit,
           u.id as user_id, u.name, u.language, u.email_verified_at is not null as verified,
           (select bool_or(c.withdrawn_at is null) from consents c
             where c.patient_id = p.id and c.purpose = $8::text) as consents
      from (select 1) as one
      left join idempotency_keys k on k.owner = $1 and k.route = $2 and k.key = $3
      left join (availability_slots s join doctors d on d.id = s.doctor_id and d.verified_at is not null)
             on s.id = $4::uuid
      left join (patients p join users u on u.id = p.user_id) on p.id = $7::uuid
"""
BOOKED_SINCE = """
    select count(*) from consultations c
     where c.patient_id = $1 and c.created_at >= $2 and c.ended_as is distinct from 'unpaid'
"""

# The write, in parts, since a part that has nothing to do still costs its set-up. The update's own condition decides
# among any number at once: the slot must be as the look found it.
TAKEN = """
    taken as (
        update availability_slots s
           set status = 'BOOKED', consultation_id = {consultation_id}::uuid, patient_n = {patient_n}::int,
               version = version + 1, fee_minor = {fee_minor}::bigint, currency = {currency}::text
          from key
         where key.got and s.id = {slot_id}::uuid and s.status = 'AVAILABLE' and s.version = {version}::int
        returning s.id
    ), priced as (
        insert into payments (id, consultation_id, patient_id, amount_minor, currency, status, provider,
                              provider_order, expires_at, created_at)
        select {payment_id}::uuid, {consultation_id}::uuid, {patient_id}::uuid, {fee_minor}::bigint, {currency}::text,
               {payment_status}::text, {provider}::text, {provider_order}::text, {expires_at}::timestamptz,
               {now}::timestamptz
          from taken
    ),"""
ENTERED = """
    entered as (
        insert into payment_entries (id, payment_id, kind, amount_minor, provider, provider_payment, created_at)
        select {entry_id}::uuid, {payment_id}::uuid, 'captured', 0, {provider}::text, {payment_id}::uuid::text,
               {now}::timestamptz
          from taken
    ),"""
AGREED = """
    agreed as (
        insert into consents (id, patient_id, purpose, text_version, language, channel, given_at)
        select {consent_id}::uuid, {patient_id}::uuid, {purpose}::text, {text_version}::text, {language}::text,
               'booking', {now}::timestamptz
          from taken
        on conflict do nothing
    ),"""
DONE = """
    done as (
        insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time,
                                   reason, confirmed_at)
        select {consultation_id}::uuid, {created_at}::timestamptz, {patient_id}::uuid, {doctor_id}::uuid, id,
               {meeting_link}::text, {start_time}::timestamptz, {end_time}::timestamptz, {reason}::bytea,
               {confirmed_at}::timestamptz
          from taken
        returning id
    )
"""


@functools.cache
def statement(*, free: bool, consents: bool) -> tuple[str, tuple[str, ...]]:
    """The write for one case, as one statement with the flush; and whose values its parameters are, in order."""
    parts = [TAKEN]
    if free:
        parts.append(ENTERED)
    if not consents:
        parts.append(AGREED)
    text = "".join([*parts, DONE])
    names = tuple(dict.fromkeys(re.findall(r"{(\w+)}", text)))
    places = {name: f"${number}" for number, name in enumerate(names, 1)}
    return at_once(text.format_map(places), len(names)), names


HELD = """
    select c.id
      from availability_slots s
      join consultations c on c.id = s.consultation_id and c.created_at = s.consultation_created_at
     where s.id = $1 and c.patient_id = $2 and c.status = 'PENDING' and c.confirmed_at is null
"""
PATIENT_NUMBER = "select n from patients where id = $1"


@dataclass(frozen=True, slots=True)
class Opening:
    """What a booking writes: ids made, the reason sealed, the rest as the look found it. Fields name parameters."""

    now: datetime
    slot_id: SlotId
    version: int
    doctor_id: DoctorId
    start_time: datetime
    end_time: datetime
    fee_minor: int
    currency: str
    patient_id: PatientId
    patient_n: int
    language: str
    provider: str
    meeting_link: str
    reason: bytes | None
    consultation_id: ConsultationId
    payment_id: PaymentId
    entry_id: UUID
    consent_id: UUID
    expires_at: datetime | None
    purpose: str = CONSENT
    text_version: str = CONSENT_VERSION

    @property
    def free(self) -> bool:
        """Whether there is nothing to pay: then it is confirmed in its booking."""
        return self.fee_minor == 0

    @property
    def created_at(self) -> datetime:
        """The id's own millisecond."""
        return made_at(self.consultation_id)

    @property
    def confirmed_at(self) -> datetime | None:
        """The moment of the booking where there is nothing to pay."""
        return self.now if self.free else None

    @property
    def provider_order(self) -> str | None:
        """The gateway's name of the order, where it follows from ours."""
        return order_by_our_name(self.provider, self.payment_id)

    @property
    def payment_status(self) -> PaymentStatus:
        """How its payment begins."""
        return "captured" if self.free else "pending"


async def look(tx: Tx, slot_id: SlotId) -> Record:
    """What is true of the caller's idempotency key, the slot and the patient; null where one of them is not."""
    row = await tx.conn.fetchrow(
        LOOK,
        tx.key.owner if tx.key else None,
        tx.key.route if tx.key else None,
        tx.key.key if tx.key else None,
        slot_id,
        tx.now,
        tx.actor.patient_n,
        tx.actor.patient_id,
        CONSENT,
    )
    assert row is not None
    return row


async def booked_since(tx: Tx, day_began: datetime) -> int:
    """How many consultations the acting patient has booked since then; whose hold ran out unpaid count not."""
    count: int = await tx.conn.fetchval(BOOKED_SINCE, tx.actor.patient_id, day_began)
    return count


def book(tx: Tx, opening: Opening, *, consents: bool) -> None:
    """Leave the write as the transaction's last word. A patient who is elsewhere then is refused as PatientBusy."""
    text, names = statement(free=opening.free, consents=consents)
    refusals: dict[type[Exception], type[Problem]] = {asyncpg.ExclusionViolationError: PatientBusy}
    tx.last = LastWord(text, [getattr(opening, name) for name in names], refusals)


async def held_unpaid(tx: Tx, slot_id: SlotId, patient_id: PatientId) -> ConsultationId | None:
    """The unpaid consultation that this patient holds in the slot, or None."""
    found: UUID | None = await tx.conn.fetchval(HELD, slot_id, patient_id)
    return ConsultationId(found) if found else None


async def patient_number(tx: Tx, patient_id: PatientId) -> int:
    """The small number that a slot keeps of its patient."""
    number: int = await tx.conn.fetchval(PATIENT_NUMBER, patient_id)
    return number
