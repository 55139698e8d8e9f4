"""SQL of booking: a look, and the one statement that books.

Booking owns no table. Everywhere else the tables' owners write them; here slot, consultation, payment, ledger entry
and consent are folded into one statement, joined with the flush, for all callers of one moment, because bookings a
second are what the benchmark watches.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from uuid import UUID

import asyncpg
from asyncpg import Record

from server.booking.problems import DailyLimit, PatientBusy
from server.consultations import PaymentStatus
from server.core.batches import Statement
from server.core.ids import ConsultationId, DoctorId, PatientId, PaymentId, SlotId
from server.core.outbox import at_once
from server.core.tx import LastWord, Tx
from server.payments import order_by_our_name

CONSENT = "teleconsultation"
CONSENT_VERSION = "1"

# What is true before anything is written: the key's earlier answer, the slot and its doctor, the patient.
LOOK = Statement(f"""
    select w.caller, k.body_hash, k.status, k.reply,
           s.id as slot_id, s.doctor_id, s.start_time, s.end_time, s.status as slot_status, s.version, s.patient_n,
           s.offered_until > w.now and s.offered_n is distinct from w.patient_n as kept,
           s.fee_minor, s.currency, s.time_zone, s.lead_minutes, s.horizon_days, s.daily_limit, u.*
      from unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::timestamptz[], $6::int[], $7::uuid[])
           with ordinality as w (owner, route, key, slot_id, now, patient_n, patient_id, caller)
      left join lateral (
            select k.body_hash, k.status, k.reply from idempotency_keys k
             where k.owner = w.owner and k.route = w.route and k.key = w.key
             limit 1
           ) k on true
      left join lateral (
            select s.id, s.doctor_id, s.start_time, s.end_time, s.status, s.version, s.patient_n, s.offered_until,
                   s.offered_n, d.fee_minor, d.currency, d.time_zone, d.lead_minutes, d.horizon_days, d.daily_limit
              from availability_slots s join doctors d on d.id = s.doctor_id and d.verified_at is not null
             where s.id = w.slot_id
             limit 1
           ) s on true
      left join lateral (
            select u.id as user_id, u.name, u.language, u.email_verified_at is not null as verified,
                   (select bool_or(c.withdrawn_at is null) from consents c
                     where c.patient_id = p.id and c.purpose = '{CONSENT}') as consents
              from patients p join users u on u.id = p.user_id
             where p.id = w.patient_id
             limit 1
           ) u on true
""")  # noqa: S608 - a constant
# The write. The update's own condition decides among any number at once: the slot must be as the look found it. A
# patient's bookings of the day are counted where those of other transactions can add nothing meanwhile, and those on
# the way in this very statement count too.
_COLUMNS = {
    "slot_id": "uuid",
    "version": "int",
    "fee_minor": "bigint",
    "currency": "text",
    "patient_id": "uuid",
    "patient_n": "int",
    "language": "text",
    "provider": "text",
    "provider_order": "text",
    "meeting_link": "text",
    "reason": "bytea",
    "consultation_id": "uuid",
    "payment_id": "uuid",
    "expires_at": "timestamptz",
    "entry_id": "uuid",
    "consent_id": "uuid",
    "a_day": "int",
    "day_began": "timestamptz",
}
BOOK = at_once(
    _COLUMNS,
    f"""
    taken as (
        update availability_slots s
           set status = 'BOOKED', consultation_id = w.consultation_id, patient_n = w.patient_n,
               version = s.version + 1, fee_minor = w.fee_minor, currency = w.currency
          from wanted w
         where s.id = any(array(select slot_id from wanted where got and allowed))
           and s.id = w.slot_id and w.got and w.allowed and s.patient_n is null and s.version = w.version
        returning w.caller, s.doctor_id, s.start_time, s.end_time
    ), done as (
        select caller from taken
    ), priced as (
        insert into payments (id, consultation_id, patient_id, amount_minor, currency, status, provider,
                              provider_order, expires_at, created_at)
        select payment_id, consultation_id, patient_id, fee_minor, currency,
               case when fee_minor = 0 then 'captured' else 'pending' end, provider, provider_order, expires_at, at
          from wanted join done using (caller)
    ), entered as (
        insert into payment_entries (id, payment_id, kind, amount_minor, provider, provider_payment, created_at)
        select entry_id, payment_id, 'captured', 0, provider, payment_id::text, at
          from wanted join done using (caller)
         where entry_id is not null
    ), agreed as (
        insert into consents (id, patient_id, purpose, text_version, language, channel, given_at)
        select consent_id, patient_id, '{CONSENT}', '{CONSENT_VERSION}', language, 'booking', at
          from wanted join done using (caller)
         where consent_id is not null
        on conflict do nothing
    ), opened as (
        insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time,
                                   reason, confirmed_at)
        select consultation_id, id_time(consultation_id), patient_id, doctor_id, slot_id, meeting_link, start_time,
               end_time, reason, case when fee_minor = 0 then at end
          from wanted join taken using (caller)
    )""",  # noqa: S608 - constants
    allowed="""
           w.a_day = 0 or booked_since(w.patient_id, w.day_began)
                          + row_number() over (partition by w.patient_id order by w.caller) <= w.a_day""",
)
_row = attrgetter(*_COLUMNS)
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
    entry_id: UUID | None
    """Of the ledger, where there is nothing to pay."""
    consent_id: UUID | None
    """Where the patient was not asked before."""
    expires_at: datetime | None
    a_day: int
    day_began: datetime

    @property
    def free(self) -> bool:
        """Whether there is nothing to pay: then it is confirmed in its booking."""
        return self.fee_minor == 0

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
    key = (tx.key.owner, tx.key.route, tx.key.key) if tx.key else (None, None, None)
    [row] = await tx.ask(LOOK, (*key, slot_id, tx.now, tx.actor.patient_n, tx.actor.patient_id))
    return row


def book(tx: Tx, opening: Opening) -> None:
    """Leave the write as the transaction's last word.

    A patient who is elsewhere then is refused as PatientBusy, one who has booked enough for the day as DailyLimit.
    """
    tx.last = LastWord(
        BOOK,
        _row(opening),
        ids=[id_ for id_ in (opening.consultation_id, opening.entry_id, opening.consent_id) if id_ is not None],
        refusals={asyncpg.ExclusionViolationError: PatientBusy},
        refusal=DailyLimit,
    )


async def held_unpaid(tx: Tx, slot_id: SlotId, patient_id: PatientId) -> ConsultationId | None:
    """The unpaid consultation that this patient holds in the slot, or None."""
    found: UUID | None = await tx.conn.fetchval(HELD, slot_id, patient_id)
    return ConsultationId(found) if found else None


async def patient_number(tx: Tx, patient_id: PatientId) -> int:
    """The small number that a slot keeps of its patient."""
    number: int = await tx.conn.fetchval(PATIENT_NUMBER, patient_id)
    return number
