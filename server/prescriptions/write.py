"""The doctor prescribes: sealed with the patient's key, never changed, known by a code that people can read out."""

from __future__ import annotations

import secrets
from datetime import timedelta

from server.consultations import Consultation, Status, consultation
from server.core.cipher import Cipher, Place
from server.core.errors import Conflict, NotFound
from server.core.ids import PrescriptionId, new_id
from server.core.tx import Tx
from server.prescriptions import queries
from server.prescriptions.events import PrescriptionWritten
from server.prescriptions.models import Prescription, PrescriptionText, WritePrescription
from server.prescriptions.paper import Medicine

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
CODE_LENGTH = 10
WITHIN = timedelta(days=1)


class NotInConsultation(Conflict):
    """A prescription is written in the consultation, or within a day of its end."""

    code = "not-in-consultation"
    title = "There is no consultation to prescribe in."


async def write_prescription(tx: Tx, ask: WritePrescription, *, cipher: Cipher) -> Prescription:
    """Prescribe in a consultation that is ACTIVE, or was completed within a day.

    Raises NotFound for another doctor's, NotInConsultation.
    """
    found = await consultation(tx, ask.id)
    if tx.actor.doctor_id is None or found.doctor_id != tx.actor.doctor_id:
        raise NotFound
    _refuse_closed(tx, found)
    text = PrescriptionText(
        medicines=tuple(Medicine(**line.model_dump()) for line in ask.medicines),
        complaints=ask.complaints,
        diagnosis=ask.diagnosis,
        allergies=ask.allergies,
        advice=ask.advice,
        follow_up=ask.follow_up,
    )
    id_ = PrescriptionId(new_id(tx.now))
    body = await cipher.seal(tx, found.patient_id, Place("prescriptions", "body", id_), text.model_dump_json())
    code = new_code()
    while not await queries.add(tx, id_, found.id, found.patient_id, found.doctor_id, body, code):
        code = new_code()
    tx.emit(PrescriptionWritten(prescription_id=id_, consultation_id=found.id))
    return Prescription(
        id=id_,
        consultation_id=found.id,
        patient_id=found.patient_id,
        doctor_id=found.doctor_id,
        code=grouped(code),
        issued_at=tx.now,
        **dict(text),
    )


def new_code() -> str:
    """Ten characters of Crockford's alphabet: 50 bits, so that nobody finds one by trying."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))


def grouped(code: str) -> str:
    """A code as people read it."""
    return f"{code[:5]}-{code[5:]}"


def _refuse_closed(tx: Tx, found: Consultation) -> None:
    if found.status is Status.ACTIVE:
        return
    if found.status is Status.COMPLETED and found.ended_at is not None and tx.now - found.ended_at <= WITHIN:
        return
    raise NotInConsultation
