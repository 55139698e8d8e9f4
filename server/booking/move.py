"""A booking moves to another slot of its doctor, with its payment."""

from __future__ import annotations

import asyncpg

from server.booking import queries
from server.booking.events import ConsultationMoved
from server.booking.models import Reschedule
from server.booking.problems import (
    BeyondHorizon,
    NotToBeMoved,
    OtherDoctor,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.consultations import Consultation, Status, consultation, move
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import locked_payment_of
from server.scheduling import bookable_from, free_slot, next_free_slots, slot, take_slot

ALTERNATIVES = 5


async def reschedule(tx: Tx, ask: Reschedule, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Swap slots in one transaction; consultation and payment stay, the calendar's sequence goes up.

    Raises NotFound, NotToBeMoved, OtherDoctor, PatientBusy; SlotPassed, TooLate, BeyondHorizon, SlotTaken for the
    new slot, by the rules of now.
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
    earliest = bookable_from(tx.now, settings)
    if wanted.start_time <= tx.now:
        raise SlotPassed
    if wanted.start_time <= earliest:
        raise TooLate
    if wanted.start_time > await queries.horizon(tx, was.doctor_id):
        raise BeyondHorizon
    # The old slot first: a consultation stands on one slot at a time.
    await free_slot(tx, was.slot_id, was.id)
    try:
        taken = await take_slot(tx, ask.slot_id, was.id, await queries.patient_number(tx, was.patient_id), earliest)
    except asyncpg.ExclusionViolationError:
        raise PatientBusy from None
    if taken is None:
        raise SlotTaken(alternatives=await next_free_slots(tx, was.doctor_id, earliest, ALTERNATIVES))
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
