"""A slot changes hands: taken for a consultation, given back, read."""

from __future__ import annotations

from datetime import datetime

from server.core.ids import ConsultationId, SlotId
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.events import SlotChanged, SlotsBehind
from server.scheduling.make import Fitted, announce, fits
from server.scheduling.models import PublicSlot, Slot
from server.scheduling.rules import tell_freed, tell_if_filled
from server.scheduling.slots import Span
from server.scheduling.waitlist import keep_for_waiters


async def take_slot(
    tx: Tx, slot_id: SlotId, consultation_id: ConsultationId, patient_n: int, earliest: datetime
) -> Slot | None:
    """Mark a free slot that begins after `earliest` as booked, and tell its room; None if it is neither.

    Raises asyncpg.ExclusionViolationError when the patient has another consultation then.
    """
    slot = await queries.take(tx, slot_id, consultation_id, patient_n, earliest)
    if slot is not None:
        tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot.public()))
        await tell_if_filled(tx, slot.doctor_id, slot.start_time)
    return slot


async def free_slot(tx: Tx, slot_id: SlotId, consultation_id: ConsultationId) -> PublicSlot | None:
    """Give a future slot back and tell its room. None, and nothing changed, once it has begun or is held by another.

    Where somebody waits for it, it is kept for them. Where the doctor's hours have no such slot any more, or the
    doctor has taken leave, it is withdrawn instead; the worker makes those that fit into its place.
    """
    slot = await queries.free(tx, slot_id, consultation_id)
    if slot is None:
        return None
    fitting = await fits(tx, slot.doctor_id, Span(slot.start_time, slot.end_time))
    if fitting:
        [slot] = await keep_for_waiters(tx, [slot])
    await tell_freed(tx, slot)
    if not fitting:
        announce(tx, Fitted(made=[], withdrawn=await queries.withdraw(tx, [slot.id])))
        tx.emit(SlotsBehind(doctor_id=slot.doctor_id))
        return None
    return slot


async def slot(tx: Tx, slot_id: SlotId) -> Slot | None:
    """One slot as it is, or None."""
    return await queries.read_slot(tx, slot_id)
