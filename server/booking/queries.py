"""SQL of booking: the one statement that books, and a look at what a slot's patient holds.

Booking owns no table. Everywhere else the tables' owners write them; here slot, consultation, payment, ledger entry
and consent are folded into one statement, because each booking is one round trip less a write, and bookings a second
are what the benchmark watches. The rules it checks are read in the same snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from asyncpg import Record

from server.core.ids import ConsultationId, PatientId, PaymentId, SlotId, made_at, new_id
from server.core.settings import Settings
from server.core.tx import IdempotencyKey, Tx
from server.payments import HOUSE, hold_until
from server.scheduling import bookable_from

CONSENT = "teleconsultation"
CONSENT_VERSION = "1"

# `key` answers as TAKE_KEY of core/idempotency does. Only where the key was got and every rule holds does `allowed`
# have its row, and without it nothing is written. The update's own condition decides among any number at once.
# MATERIALIZED: the lock must be tried once, whatever reads it.
BOOK = """
    with key as materialized (
        select case when $3::text is null then true
                    else pg_try_advisory_xact_lock(hashtextextended($1::text || '|' || $2::text || '|' || $3, 0))
               end as got, k.body_hash, k.status, k.reply
          from (select 1) as one
          left join idempotency_keys k on k.owner = $1 and k.route = $2 and k.key = $3
    ), slot as (
        select s.id, s.doctor_id, s.start_time, s.status, d.fee_minor, d.currency, d.time_zone,
               s.start_time <= $5::timestamptz as passed,
               s.start_time <= $6::timestamptz as too_late,
               s.start_time > $5::timestamptz + make_interval(days => d.horizon_days) as beyond_horizon
          from availability_slots s
          join doctors d on d.id = s.doctor_id and d.verified_at is not null
         where s.id = $4::uuid
    ), patient as (
        select u.id as user_id, u.name, u.language, u.email_verified_at is not null as verified,
               (select bool_or(c.withdrawn_at is null) from consents c
                 where c.patient_id = p.id and c.purpose = $14::text) as consents,
               case when $12::int > 0 then (
                   select count(*) from consultations c
                    where c.patient_id = p.id and c.created_at >= $13::timestamptz
                       and c.ended_as is distinct from 'unpaid'
               ) else 0 end as booked_today
          from patients p join users u on u.id = p.user_id
         where p.id = $7::uuid
    ), allowed as (
        select slot.id, slot.fee_minor, slot.currency, patient.consents, patient.language
          from key, slot, patient
         where key.got and key.reply is null
           and not slot.passed and not slot.too_late and not slot.beyond_horizon
           and (patient.verified or $11::boolean) and coalesce(patient.consents, true)
           and ($12::int = 0 or patient.booked_today < $12::int)
    ), taken as (
        update availability_slots s
           set status = 'BOOKED', consultation_id = $9::uuid, patient_n = $8::int, version = version + 1,
               fee_minor = allowed.fee_minor, currency = allowed.currency
          from allowed
         where s.id = allowed.id and s.status = 'AVAILABLE'
        returning s.doctor_id, s.start_time, s.end_time, s.version, s.fee_minor, s.currency
    ), opened as (
        insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time,
                                   reason, confirmed_at)
        select $9::uuid, $10::timestamptz, $7::uuid, doctor_id, $4::uuid, $15::text, start_time, end_time,
               $16::bytea, case when fee_minor = 0 then $5::timestamptz end
          from taken
    ), priced as (
        insert into payments (id, consultation_id, patient_id, amount_minor, currency, status, provider,
                              expires_at, created_at)
        select $17::uuid, $9::uuid, $7::uuid, fee_minor, currency,
               case when fee_minor = 0 then 'captured' else 'pending' end,
               case when fee_minor = 0 then $19::text else $20::text end,
               case when fee_minor > 0 then $18::timestamptz end, $5::timestamptz
          from taken
    ), entered as (
        insert into payment_entries (id, payment_id, kind, amount_minor, provider, provider_payment, created_at)
        select $21::uuid, $17::uuid, 'captured', 0, $19::text, $17::uuid::text, $5::timestamptz
          from taken where fee_minor = 0
    ), agreed as (
        insert into consents (id, patient_id, purpose, text_version, language, channel, given_at)
        select $22::uuid, $7::uuid, $14::text, $23::text, allowed.language, 'booking', $5::timestamptz
          from taken, allowed
         where allowed.consents is null
        on conflict do nothing
    )
    select key.got, key.body_hash, key.status, key.reply,
           slot.id as slot_id, slot.status as slot_status, slot.doctor_id, slot.passed, slot.too_late,
           slot.beyond_horizon, slot.time_zone, patient.user_id, patient.name, patient.verified, patient.consents,
           patient.booked_today, taken.start_time, taken.end_time, taken.version, taken.fee_minor, taken.currency
      from key
      left join slot on true
      left join patient on true
      left join taken on true
"""
HELD = """
    select c.id
      from availability_slots s
      join consultations c on c.id = s.consultation_id and c.created_at = s.consultation_created_at
     where s.id = $1 and c.patient_id = $2 and c.status = 'PENDING' and c.confirmed_at is null
"""
PATIENT_NUMBER = "select n from patients where id = $1"


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known before the statement: ids made, reason sealed."""

    consultation_id: ConsultationId
    payment_id: PaymentId
    slot_id: SlotId
    patient_id: PatientId
    patient_n: int
    meeting_link: str
    reason: bytes | None
    expires_at: datetime

    @property
    def created_at(self) -> datetime:
        """The id's own millisecond."""
        return made_at(self.consultation_id)


def an_opening(tx: Tx, slot_id: SlotId, settings: Settings) -> Opening:
    """Ids and times of a booking that the acting patient is about to try."""
    assert tx.actor.patient_id is not None
    assert tx.actor.patient_n is not None
    consultation_id = ConsultationId(new_id(tx.now))
    return Opening(
        consultation_id=consultation_id,
        payment_id=PaymentId(new_id(tx.now)),
        slot_id=slot_id,
        patient_id=tx.actor.patient_id,
        patient_n=tx.actor.patient_n,
        meeting_link=f"{settings.public_url}/consultations/{consultation_id}",
        reason=None,
        expires_at=hold_until(tx.now, settings),
    )


async def book(tx: Tx, opening: Opening, settings: Settings) -> Record:
    """Try to book: key, rules, slot, consultation, payment, consent. `version` is null where nothing was done.

    Raises asyncpg.ExclusionViolationError when the patient has another consultation then.
    """
    key: IdempotencyKey | None = tx.key
    row = await tx.conn.fetchrow(
        BOOK,
        key.owner if key else None,
        key.route if key else None,
        key.key if key else None,
        opening.slot_id,
        tx.now,
        bookable_from(tx.now, settings),
        opening.patient_id,
        opening.patient_n,
        opening.consultation_id,
        opening.created_at,
        settings.demo,
        settings.bookings_a_day,
        _day_began(tx),
        CONSENT,
        opening.meeting_link,
        opening.reason,
        opening.payment_id,
        opening.expires_at,
        HOUSE,
        settings.gateway,
        new_id(tx.now),
        new_id(tx.now),
        CONSENT_VERSION,
    )
    assert row is not None
    return row


async def held_unpaid(tx: Tx, slot_id: SlotId, patient_id: PatientId) -> ConsultationId | None:
    """The unpaid consultation that this patient holds in the slot, or None."""
    found: UUID | None = await tx.conn.fetchval(HELD, slot_id, patient_id)
    return ConsultationId(found) if found else None


async def patient_number(tx: Tx, patient_id: PatientId) -> int:
    """The small number that a slot keeps of its patient."""
    number: int = await tx.conn.fetchval(PATIENT_NUMBER, patient_id)
    return number


def _day_began(tx: Tx) -> datetime:
    local = tx.now.astimezone(ZoneInfo(tx.actor.time_zone))
    return local.replace(hour=0, minute=0, second=0, microsecond=0)
