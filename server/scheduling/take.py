"""A slot changes hands: taken for a consultation, given back, read."""

from __future__ import annotations

from datetime import datetime

from server.core.ids import ConsultationId, SlotId
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.events import SlotChanged
from server.scheduling.make import Fitted, announce
from server.scheduling.models import PublicSlot, Slot


async def take_slot(
    tx: Tx, slot_id: SlotId, consultation_id: ConsultationId, patient_n: int, earliest: datetime
) -> Slot | None:
    """Mark a free slot that begins after `earliest` as booked, and tell its room; None if it is neither.

    Raises asyncpg.ExclusionViolationError when the patient has another consultation then.
    """
    slot = await queries.take(tx, slot_id, consultation_id, patient_n, earliest)
    if slot is not None:
        tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot.public()))
    return slot


async def free_slot(tx: Tx, slot_id: SlotId, consultation_id: ConsultationId) -> PublicSlot | None:
    """Give a future slot back and tell its room. None, and nothing changed, once it has begun or is held by another.

    Where the doctor has taken leave meanwhile the slot is withdrawn instead.
    """
    freed = await queries.free(tx, slot_id, consultation_id)
    if freed is None:
        return None
    slot, on_leave = freed
    if on_leave:
        announce(tx, Fitted(made=[], withdrawn=await queries.withdraw(tx, [slot.id])))
        return None
    tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot))
    return slot


async def slot(tx: Tx, slot_id: SlotId) -> Slot | None:
    """One slot as it is, or None."""
    return await queries.read_slot(tx, slot_id)
