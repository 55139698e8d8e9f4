"""A patient comes without an appointment: the doctor's next gap of today, made a slot now."""

from __future__ import annotations

from server.booking import rule_queries as queries
from server.booking.daily_limit import day_began, hold_daily_limit
from server.booking.models import HeldAlready, WalkIn
from server.booking.open import open_booking
from server.booking.problems import ConsentWithdrawn, DailyLimit, DoctorBusy, NotVerified, NoWalkIns
from server.consultations import Consultation, consultation, live_walk_in
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.money import Money
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import gap_of_today


async def walk_in(tx: Tx, ask: WalkIn, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Take the next gap in a doctor's hours of today. Once confirmed (free, or paid) the patient is checked in.

    Who is in that doctor's line already is answered with that consultation (HeldAlready, 200). The doctor's notice
    does not count: to come now is what this is for. Raises NotFound, NoWalkIns, DoctorBusy when today has no gap,
    PatientBusy, DailyLimit, ConsentWithdrawn, NotVerified.
    """
    assert tx.actor.patient_id is not None
    terms = await queries.terms_of(tx, ask.id)
    if terms is None:
        raise NotFound
    # One after the other: a patient stands in a line once.
    await queries.take_turns(tx, tx.actor.patient_id)
    held = await live_walk_in(tx, tx.actor.patient_id, ask.id)
    if held is not None:
        return HeldAlready.model_construct(**dict(await consultation(tx, held)))
    if not terms.walk_ins:
        raise NoWalkIns
    await hold_daily_limit(tx, tx.actor.patient_id, settings)
    of = await queries.booker(tx, tx.actor.patient_id, day_began(tx.now, tx.actor.time_zone))
    if of is None:
        raise NotFound
    if not (of.verified or settings.demo):
        raise NotVerified
    if of.consents is False:
        raise ConsentWithdrawn
    if 0 < settings.bookings_a_day <= of.booked_today:
        raise DailyLimit
    slot = await gap_of_today(tx, ask.id)
    if slot is None:
        raise DoctorBusy("There is no gap left in this doctor's hours of today.")
    if of.consents is None:
        await queries.agree(tx, of)
    fee = Money(amount_minor=terms.fee_minor, currency=terms.currency)
    return await open_booking(tx, slot, of, fee, cipher=cipher, settings=settings, reason=ask.reason, walk_in=True)
