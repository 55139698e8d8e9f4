"""A booking moves to another slot of its doctor, with its payment."""

from __future__ import annotations

import asyncpg

from server.booking import queries
from server.booking.events import ConsultationMoved
from server.booking.models import Reschedule
from server.booking.problems import (
    BeyondHorizon,
    DoctorDayFull,
    NotToBeMoved,
    OtherDoctor,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.booking.terms import percent_of
from server.consultations import Consultation, Status, cap_refund, consultation, move
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import locked_payment_of
from server.scheduling import bookable, day_is_full, free_slot, next_free_slots, slot, take_slot

ALTERNATIVES = 5


async def reschedule(tx: Tx, ask: Reschedule, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Swap slots in one transaction; consultation and payment stay, the calendar's sequence goes up.

    A patient who moves late keeps the refund terms of that hour: nobody moves out of them to cancel for all.
    Raises NotFound, NotToBeMoved, OtherDoctor, PatientBusy; SlotPassed, TooLate, BeyondHorizon, DoctorDayFull and
    SlotTaken for the new slot, by the rules of now.
    """
    await locked_payment_of(tx, ask.id)  # payment first, as in cancel
    was = await consultation(tx, ask.id)
    if ask.slot_id == was.slot_id:
        return was
    if was.status != Status.PENDING or was.called_at is not None or was.start_time <= tx.now:
        raise NotToBeMoved
    wanted = await slot(tx, ask.slot_id)
    if wanted is None:
        raise NotFound
    if wanted.doctor_id != was.doctor_id:
        raise OtherDoctor
    rules = await bookable(tx, was.doctor_id, settings=settings)
    if wanted.start_time <= tx.now:
        raise SlotPassed
    if wanted.start_time <= rules.after:
        raise TooLate
    if wanted.start_time > rules.until:
        raise BeyondHorizon
    percent, _ = await percent_of(tx, was, settings)
    # The old slot first: a consultation stands on one slot at a time.
    await free_slot(tx, was.slot_id, was.id)
    if await day_is_full(tx, was.doctor_id, wanted.start_time):
        raise DoctorDayFull
    try:
        taken = await take_slot(tx, ask.slot_id, was.id, await queries.patient_number(tx, was.patient_id), rules.after)
    except asyncpg.ExclusionViolationError:
        raise PatientBusy from None
    if taken is None:
        raise SlotTaken(alternatives=await next_free_slots(tx, was.doctor_id, rules.after, ALTERNATIVES))
    if percent < 100:
        await cap_refund(tx, was.id, percent)
    moved = await move(tx, was.id, taken.id, taken.start_time, taken.end_time, cipher)
    tx.emit(
        ConsultationMoved(
            consultation_id=was.id,
            from_slot_id=was.slot_id,
            to_slot_id=taken.id,
            start_time=taken.start_time,
            was_start_time=was.start_time,
        )
    )
    return moved
