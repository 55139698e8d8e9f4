"""A doctor books the next consultation for a patient, out of one that is under way or was lately completed."""

from __future__ import annotations

from datetime import timedelta

from server.booking import rule_queries as queries
from server.booking.events import FollowUpBooked
from server.booking.models import FollowUp
from server.booking.open import open_booking
from server.booking.problems import ConsentWithdrawn, DoctorBusy, OtherDoctor, SlotPassed, SlotTaken
from server.consultations import Consultation, Status, WrongStatus, consultation
from server.core.cipher import Cipher
from server.core.errors import FieldError, Invalid, NotFound
from server.core.money import Money
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import PublicSlot, SlotStatus, slot, slot_at

AHEAD = timedelta(days=366)


async def book_follow_up(tx: Tx, ask: FollowUp, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Book for the patient of this consultation: a free slot of one's own, or a time that a slot is made at.

    Free of charge if the doctor says so, and then confirmed at once; else the patient has some hours to pay (a mail
    says so). Notice, horizon and daily limits bind patients, not the doctor. Raises Invalid unless one of `slot_id`
    and `start_time` is given; NotFound, WrongStatus, OtherDoctor, SlotPassed, SlotTaken, DoctorBusy, PatientBusy,
    ConsentWithdrawn.
    """
    before = await consultation(tx, ask.id)
    if before.status not in (Status.ACTIVE, Status.COMPLETED):
        raise WrongStatus("A follow-up comes out of a consultation that has begun.")
    of = await queries.booker(tx, before.patient_id, tx.now)
    terms = await queries.terms_of(tx, before.doctor_id)
    if of is None or terms is None:
        raise NotFound
    if of.consents is False:
        raise ConsentWithdrawn("The patient withdrew the consent to teleconsultation.")
    wanted = await _slot_of(tx, ask, before)
    fee = Money(amount_minor=0 if ask.free_of_charge else terms.fee_minor, currency=terms.currency)
    until = min(tx.now + timedelta(hours=settings.follow_up_hold_hours), wanted.start_time)
    booked = await open_booking(
        tx, wanted, of, fee, cipher=cipher, settings=settings, until=until, follow_up_of=before.id
    )
    tx.emit(FollowUpBooked(consultation_id=booked.id, follow_up_of=before.id))
    return booked


async def _slot_of(tx: Tx, ask: FollowUp, before: Consultation) -> PublicSlot:
    if (ask.slot_id is None) == (ask.start_time is None):
        raise Invalid(
            errors=[FieldError(field="slot_id", code="one-of", message="Either a slot, or a time to make one at.")]
        )
    if ask.slot_id is not None:
        found = await slot(tx, ask.slot_id)
        if found is None:
            raise NotFound
        if found.doctor_id != before.doctor_id:
            raise OtherDoctor
        if found.start_time <= tx.now:
            raise SlotPassed
        if found.status is not SlotStatus.AVAILABLE:
            raise SlotTaken
        return found.public()
    assert ask.start_time is not None
    if not tx.now < ask.start_time <= tx.now + AHEAD:
        message = "This time is over, or more than a year ahead."
        raise Invalid(errors=[FieldError(field="start_time", code="range", message=message)])
    made = await slot_at(tx, before.doctor_id, ask.start_time)
    if made is None:
        raise DoctorBusy("Another patient has that time.")
    return made
