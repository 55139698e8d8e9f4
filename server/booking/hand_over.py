"""A booking goes to another doctor, with its payment: the doctor who has it, or an administrator, hands it on."""

from __future__ import annotations

from datetime import datetime, timedelta

import asyncpg

from server.booking import queries
from server.booking.events import ConsultationMoved
from server.booking.models import Transfer, TransferFrom
from server.booking.problems import DoctorBusy, NotToBeMoved, PatientBusy
from server.consultations import Consultation, Status, consultation, hand_on
from server.core.cipher import Cipher
from server.core.ids import SlotId
from server.core.settings import Settings
from server.core.tx import Role, Tx
from server.doctors import doctor
from server.payments import locked_payment_of
from server.scheduling import free_slot, leave_slot, next_free_slots, spare_slot, take_slot

LOOKED_AT = 200
AT_MOST_LATER = timedelta(days=1)
MINUTE = timedelta(minutes=1)


async def transfer(tx: Tx, ask: Transfer, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Give a confirmed consultation that nobody called in yet to another doctor; again changes nothing.

    A free slot is that doctor's consent: the one of the same hour, else the next within a day. An administrator may
    have one made at the same hour, where that doctor has nothing else then. The payment stays as it is, whatever the
    other doctor's fee; who sits in the waiting room goes on sitting there, with the time of the check-in.

    Raises NotFound for a consultation or doctor that is not there, NotToBeMoved, DoctorBusy, PatientBusy.
    """
    await locked_payment_of(tx, ask.id)  # payment first, as in cancel
    was = await consultation(tx, ask.id)
    if ask.doctor_id == was.doctor_id:
        return was
    if was.status != Status.PENDING or was.confirmed_at is None or was.called_at is not None:
        raise NotToBeMoved
    await doctor(tx, ask.doctor_id)
    # The old slot first: a consultation stands on one slot at a time.
    if was.start_time > tx.now:
        await free_slot(tx, was.slot_id, was.id)
    else:
        await leave_slot(tx, was.slot_id, was.id)
    slot_id = await _slot_for(tx, ask, was)
    if slot_id is None:
        raise DoctorBusy
    try:
        taken = await take_slot(tx, slot_id, was.id, await queries.patient_number(tx, was.patient_id), tx.now)
    except asyncpg.ExclusionViolationError:
        raise PatientBusy from None
    if taken is None:
        raise DoctorBusy
    moved = await hand_on(tx, was.id, ask.doctor_id, taken.id, taken.start_time, taken.end_time, cipher, settings)
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


async def transfer_from_queue(tx: Tx, ask: TransferFrom, *, cipher: Cipher, settings: Settings) -> Consultation:
    """The same from a socket."""
    return await transfer(
        tx, Transfer(id=ask.consultation_id, doctor_id=ask.doctor_id), cipher=cipher, settings=settings
    )


async def _slot_for(tx: Tx, ask: Transfer, was: Consultation) -> SlotId | None:
    wanted = max(was.start_time, _next_minute(tx.now))
    free = [
        slot
        for slot in await next_free_slots(tx, ask.doctor_id, tx.now, LOOKED_AT)
        if wanted <= slot.start_time <= wanted + AT_MOST_LATER
    ]
    if free and free[0].start_time == wanted:
        return free[0].id
    if tx.actor.role is Role.ADMIN:
        made = await spare_slot(tx, ask.doctor_id, wanted, wanted + (was.end_time - was.start_time))
        if made is not None:
            return made.id
    return free[0].id if free else None


def _next_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + MINUTE
