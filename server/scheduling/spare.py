"""Slots beside the calendar: one that is made for a single consultation, and one that is left after it has begun."""

from __future__ import annotations

from datetime import datetime

from server.core.ids import ConsultationId, DoctorId, SlotId
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.calendar_queries import calendar
from server.scheduling.events import SlotChanged
from server.scheduling.models import PublicSlot
from server.scheduling.slots import Span


async def spare_slot(tx: Tx, doctor_id: DoctorId, start: datetime, end: datetime) -> PublicSlot | None:
    """A free slot at this time, whatever the hours say; None where the doctor has another one then.

    Nobody is told: the caller takes it in the same transaction.
    """
    of = await calendar(tx, doctor_id, locked=True)
    if of is None:
        return None
    made = await queries.add_slots(tx, doctor_id, of, [Span(start, end)])
    return made[0] if made else None


async def leave_slot(tx: Tx, slot_id: SlotId, consultation_id: ConsultationId) -> None:
    """Let a slot that has begun stand for no consultation any more: it goes on elsewhere."""
    slot = await queries.leave(tx, slot_id, consultation_id)
    if slot is not None:
        tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot))
