"""SQL of consultations that do not come from the list of slots, and of what comes back of a fee at most."""

from __future__ import annotations

from server.core.ids import ConsultationId, DoctorId, PatientId, made_at
from server.core.tx import Tx
from server.scheduling import PublicSlot

OPEN = """
    insert into consultations (id, created_at, patient_id, doctor_id, slot_id, meeting_link, start_time, end_time,
                               reason, walk_in, follow_up_of)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
IS_WALK_IN = "select walk_in from consultations where id = $1 and created_at = $2"
LIVE_WALK_IN = """
    select c.id
      from availability_slots s
      join consultations c on c.id = s.consultation_id and c.created_at = s.consultation_created_at
     where s.patient_n = (select n from patients where id = $1) and s.doctor_id = $2
       and c.walk_in and c.status in ('PENDING', 'ACTIVE')
     order by c.created_at desc limit 1
"""
REFUND_PERCENT = "select refund_percent from consultations where id = $1 and created_at = $2"
CAP_REFUND = """
    update consultations set refund_percent = least(refund_percent, $3)
     where id = $1 and created_at = $2 and refund_percent > $3
"""


async def insert(
    tx: Tx,
    id_: ConsultationId,
    patient_id: PatientId,
    slot: PublicSlot,
    meeting_link: str,
    reason: bytes | None,
    follow_up_of: ConsultationId | None,
    *,
    walk_in: bool,
) -> None:
    """Store a PENDING consultation in the time of a slot."""
    await tx.conn.execute(
        OPEN,
        id_,
        made_at(id_),
        patient_id,
        slot.doctor_id,
        slot.id,
        meeting_link,
        slot.start_time,
        slot.end_time,
        reason,
        walk_in,
        follow_up_of,
    )


async def is_walk_in(tx: Tx, id_: ConsultationId) -> bool:
    """Whether somebody came without an appointment."""
    return bool(await tx.conn.fetchval(IS_WALK_IN, id_, made_at(id_)))


async def live_walk_in(tx: Tx, patient_id: PatientId, doctor_id: DoctorId) -> ConsultationId | None:
    """The walk-in of this patient with this doctor that is not over."""
    found: ConsultationId | None = await tx.conn.fetchval(LIVE_WALK_IN, patient_id, doctor_id)
    return found


async def refund_percent(tx: Tx, id_: ConsultationId) -> int:
    """What of the fee comes back at most."""
    percent: int | None = await tx.conn.fetchval(REFUND_PERCENT, id_, made_at(id_))
    return 100 if percent is None else percent


async def cap_refund(tx: Tx, id_: ConsultationId, percent: int) -> None:
    """From now on no more than this comes back."""
    await tx.conn.execute(CAP_REFUND, id_, made_at(id_), percent)
