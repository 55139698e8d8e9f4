"""A booking that does not come from the list of slots: consultation, slot and payment in one transaction."""

from __future__ import annotations

from datetime import datetime

import asyncpg

from server.booking.events import ConsultationBooked
from server.booking.problems import PatientBusy, SlotTaken
from server.booking.rule_queries import Booker
from server.consultations import Consultation, QueueChanged, confirm, consultation, open_consultation, queue_entry
from server.core.cipher import Cipher, Place
from server.core.ids import ConsultationId, new_id
from server.core.money import Money
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import open_payment
from server.scheduling import PublicSlot, next_free_slots, take_slot

ALTERNATIVES = 5


async def open_booking(
    tx: Tx,
    slot: PublicSlot,
    of: Booker,
    fee: Money,
    *,
    cipher: Cipher,
    settings: Settings,
    reason: str | None = None,
    until: datetime | None = None,
    walk_in: bool = False,
    follow_up_of: ConsultationId | None = None,
) -> Consultation:
    """Book this slot for somebody, unpaid until `until` (None: the usual hold), confirmed at once without a fee.

    Raises PatientBusy, SlotTaken with `alternatives`.
    """
    id_ = ConsultationId(new_id(tx.now))
    sealed = await cipher.seal(tx, of.patient_id, Place("consultations", "reason", id_), reason) if reason else None
    link = f"{settings.public_url}/consultations/{id_}"
    await open_consultation(tx, id_, of.patient_id, slot, link, sealed, walk_in=walk_in, follow_up_of=follow_up_of)
    try:
        taken = await take_slot(tx, slot.id, id_, of.n, tx.now)
    except asyncpg.ExclusionViolationError:
        raise PatientBusy from None
    if taken is None:
        raise SlotTaken(alternatives=await next_free_slots(tx, slot.doctor_id, tx.now, ALTERNATIVES))
    await open_payment(tx, id_, of.patient_id, fee, settings=settings, until=until)
    tx.emit(ConsultationBooked(consultation_id=id_))
    if fee.amount_minor == 0:
        confirmed = await confirm(tx, id_, cipher)
        assert confirmed is not None
        return confirmed
    tx.emit(QueueChanged(doctor_id=slot.doctor_id, entry=await queue_entry(tx, id_, cipher)))
    return await consultation(tx, id_)
