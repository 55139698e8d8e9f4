"""SQL of the rules that a booking outside the list of slots obeys, and of the consent that asking is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.booking.queries import CONSENT, CONSENT_VERSION
from server.core.ids import DoctorId, PatientId, UserId, new_id
from server.core.tx import Tx

TAKE_TURNS = "select pg_advisory_xact_lock(hashtextextended('bookings|' || $1, 0))"
PATIENT = """
    select p.id as patient_id, p.n, u.id as user_id, u.language, u.email_verified_at is not null as verified,
           (select bool_or(c.withdrawn_at is null) from consents c
             where c.patient_id = p.id and c.purpose = $2) as consents,
           (select count(*) from consultations c
             where c.patient_id = p.id and c.created_at >= $3 and c.ended_as is distinct from 'unpaid') as booked_today
      from patients p join users u on u.id = p.user_id
     where p.id = $1 and u.disabled_at is null
"""
AGREE = """
    insert into consents (id, patient_id, purpose, text_version, language, channel, given_at)
    values ($1, $2, $3, $4, $5, 'booking', $6)
    on conflict do nothing
"""
TERMS = "select fee_minor, currency, walk_ins from doctors where id = $1 and verified_at is not null"


@dataclass(frozen=True, slots=True)
class Booker:
    """Who a consultation is booked for, and what the rules ask about. `consents` None: never asked."""

    patient_id: PatientId
    n: int
    user_id: UserId
    language: str
    verified: bool
    consents: bool | None
    booked_today: int


@dataclass(frozen=True, slots=True)
class DoctorTerms:
    """What a doctor asks, and whether people may come without an appointment."""

    fee_minor: int
    currency: str
    walk_ins: bool


async def take_turns(tx: Tx, patient_id: PatientId) -> None:
    """Wait until nobody else books for this patient, and keep it so until the transaction ends."""
    await tx.conn.execute(TAKE_TURNS, str(patient_id))


async def booker(tx: Tx, patient_id: PatientId, day_began: datetime) -> Booker | None:
    """The patient, or None for one whose account is closed."""
    row = await tx.conn.fetchrow(PATIENT, patient_id, CONSENT, day_began)
    return Booker(**dict(row)) if row else None


async def agree(tx: Tx, of: Booker) -> None:
    """Asking for a teleconsultation is the consent to it; kept once."""
    await tx.conn.execute(AGREE, new_id(tx.now), of.patient_id, CONSENT, CONSENT_VERSION, of.language, tx.now)


async def terms_of(tx: Tx, doctor_id: DoctorId) -> DoctorTerms | None:
    """A listed doctor's terms."""
    row = await tx.conn.fetchrow(TERMS, doctor_id)
    return DoctorTerms(**dict(row)) if row else None
