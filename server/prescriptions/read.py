"""Reading prescriptions: the patient's own, and those of a patient whom the doctor treats."""

from __future__ import annotations

from asyncpg import Record

from server.consultations import OfConsultation, Who, admitted, treats
from server.core.cipher import Cipher, Place
from server.core.errors import NotFound
from server.core.tx import Role, Tx
from server.prescriptions import queries
from server.prescriptions.models import OfPrescription, Prescription, Prescriptions, PrescriptionText
from server.prescriptions.write import grouped


async def read_prescription(tx: Tx, ask: OfPrescription, *, cipher: Cipher) -> Prescription:
    """One prescription, for its patient or a doctor who treats them. A doctor's reading is noted. Raises NotFound."""
    row = await queries.read(tx, ask.id)
    if row is None or not await _may_read(tx, row):
        raise NotFound
    return await opened(tx, row, cipher)


async def list_prescriptions(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Prescriptions:
    """The prescriptions of a consultation, for its patient or its doctor. Raises NotFound."""
    if not await admitted(tx, ask.id, Who.READER):
        raise NotFound
    rows = await queries.of_consultation(tx, ask.id)
    return Prescriptions(items=[await opened(tx, row, cipher) for row in rows])


async def opened(tx: Tx, row: Record, cipher: Cipher) -> Prescription:
    """A row's prescription, unsealed; the trail hears of it unless the patient reads."""
    if tx.actor.role is not Role.PATIENT:
        tx.saw(row["patient_id"], "prescriptions", row["id"])
    body = await cipher.open(tx, row["patient_id"], Place("prescriptions", "body", row["id"]), row["body"])
    return Prescription(
        id=row["id"],
        consultation_id=row["consultation_id"],
        patient_id=row["patient_id"],
        doctor_id=row["doctor_id"],
        code=grouped(row["code"]),
        issued_at=row["created_at"],
        **dict(PrescriptionText.model_validate_json(body)),
    )


async def _may_read(tx: Tx, row: Record) -> bool:
    actor = tx.actor
    if actor.role is Role.PATIENT:
        return actor.patient_id == row["patient_id"]
    if actor.role is Role.DOCTOR and actor.doctor_id is not None:
        return await treats(tx, actor.doctor_id, row["patient_id"])
    return False
