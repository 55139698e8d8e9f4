"""What features above do to a consultation: confirm it, cancel it, move it. Slot and payment are theirs."""

from __future__ import annotations

from datetime import datetime

from server.consultations import queries
from server.consultations.arrive import OPENS_BEFORE
from server.consultations.change import allow, change, consultation, held
from server.consultations.events import ConsultationCancelled, ConsultationConfirmed
from server.consultations.models import Consultation
from server.consultations.open_queries import is_walk_in
from server.consultations.status import Act, EndedAs, Status, WrongStatus
from server.consultations.waiting import tell
from server.core.cipher import Cipher
from server.core.ids import ConsultationId, DoctorId, SlotId
from server.core.settings import Settings
from server.core.tx import Tx


async def confirm(tx: Tx, id_: ConsultationId, cipher: Cipher) -> Consultation | None:
    """Paid, or free: it will take place; who walked in sits in the waiting room by that.

    None where it was confirmed before or is not PENDING. Raises NotFound.
    """
    before = await held(tx, id_)
    if before.status is not Status.PENDING or before.confirmed_at is not None:
        return None
    here = {"checked_in_at": tx.now} if await is_walk_in(tx, id_) else {}
    after = await change(tx, Act.CONFIRM, before, cipher, confirmed_at=tx.now, **here)
    tx.emit(ConsultationConfirmed(consultation_id=id_))
    return after


async def cancel(tx: Tx, id_: ConsultationId, ended_as: EndedAs, cipher: Cipher) -> Consultation:
    """PENDING becomes CANCELLED. Raises WrongStatus, NotFound."""
    before = await held(tx, id_)
    after = await change(tx, Act.CANCEL, before, cipher, ended_at=tx.now, ended_as=ended_as)
    tx.emit(ConsultationCancelled(consultation_id=id_, ended_as=ended_as))
    return after


async def revive(tx: Tx, id_: ConsultationId, cipher: Cipher) -> Consultation:
    """What ended unpaid is paid after all, and its slot is its own again: it will take place.

    Raises WrongStatus, NotFound.
    """
    before = await held(tx, id_)
    if before.ended_as != "unpaid":
        raise WrongStatus("This consultation did not end for want of payment.")
    after = await change(tx, Act.REVIVE, before, cipher, confirmed_at=tx.now, ended_at=None, ended_as=None)
    tx.emit(ConsultationConfirmed(consultation_id=id_))
    return after


async def end_as_cancelled(tx: Tx, before: Consultation, ended_as: EndedAs, cipher: Cipher) -> Consultation:
    """Cancel a consultation that the caller has read. Raises WrongStatus when it has changed since."""
    return await cancel(tx, before.id, ended_as, cipher)


async def hand_on(
    tx: Tx,
    id_: ConsultationId,
    doctor_id: DoctorId,
    slot_id: SlotId,
    start_time: datetime,
    end_time: datetime,
    cipher: Cipher,
    settings: Settings,
) -> Consultation:
    """Give a confirmed PENDING consultation to another doctor. Who waits goes on waiting, unless the waiting room of
    the new time is not open yet. Raises NotConfirmed, WrongStatus, NotFound."""
    was = await consultation(tx, id_)
    await queries.lock_queues(tx, was.doctor_id, doctor_id)
    before = await held(tx, id_)
    allow(Act.TRANSFER, before)
    if before.called_at is not None or before.doctor_id != was.doctor_id:
        raise WrongStatus("This consultation was called in, or handed on already.")
    is_open = settings.demo or start_time - tx.now <= OPENS_BEFORE
    await queries.hand_on(tx, id_, doctor_id, slot_id, start_time, end_time, keeps_check_in=is_open)
    after = await consultation(tx, id_)
    await tell(tx, before, after, cipher)
    return after


async def move(
    tx: Tx, id_: ConsultationId, slot_id: SlotId, start_time: datetime, end_time: datetime, cipher: Cipher
) -> Consultation:
    """Put a PENDING consultation into another slot; who had checked in checks in anew. Raises WrongStatus, NotFound."""
    before = await held(tx, id_)
    allow(Act.MOVE, before)
    if before.called_at is not None:
        raise WrongStatus("The doctor has called the patient in already.")
    await queries.move(tx, id_, slot_id, start_time, end_time)
    after = await consultation(tx, id_)
    await tell(tx, before, after, cipher)
    return after
