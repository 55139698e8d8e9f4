"""A consultation that nobody chose from the list of slots: someone walked in, or the doctor set a follow-up."""

from __future__ import annotations

from server.consultations import open_queries as queries
from server.core.ids import ConsultationId, DoctorId, PatientId
from server.core.tx import Tx
from server.scheduling import PublicSlot


async def open_consultation(
    tx: Tx,
    id_: ConsultationId,
    patient_id: PatientId,
    slot: PublicSlot,
    meeting_link: str,
    reason: bytes | None,
    *,
    walk_in: bool = False,
    follow_up_of: ConsultationId | None = None,
) -> None:
    """Store it PENDING and unconfirmed; slot and payment are its opener's. A walk-in is checked in by its confirmation.

    Booking does the same inside its one statement (server/booking/queries.py); this is for every other way to meet.
    """
    await queries.insert(tx, id_, patient_id, slot, meeting_link, reason, follow_up_of, walk_in=walk_in)


async def live_walk_in(tx: Tx, patient_id: PatientId, doctor_id: DoctorId) -> ConsultationId | None:
    """The walk-in of this patient with this doctor that is not over, or None."""
    return await queries.live_walk_in(tx, patient_id, doctor_id)


async def refund_percent(tx: Tx, id_: ConsultationId) -> int:
    """What of the fee comes back at most when its patient cancels."""
    return await queries.refund_percent(tx, id_)


async def cap_refund(tx: Tx, id_: ConsultationId, percent: int) -> None:
    """Its patient moved it late: no more than this comes back from now on."""
    await queries.cap_refund(tx, id_, percent)
