"""A prescription as a PDF, in the reader's language."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Literal

from asyncpg import Record

from server.core.cipher import Cipher, Erased, Place
from server.core.ids import PatientId
from server.core.models import zone
from server.core.routes import Document
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.prescriptions import queries
from server.prescriptions.models import OfPrescription, PrintPrescription
from server.prescriptions.paper import PrescriptionSheet, typeset
from server.prescriptions.read import read_prescription

CLINIC = "Amrutam"
NO_NAME = "–"
Sex = Literal["female", "male", "other"]


async def print_prescription(run: Run, ask: PrintPrescription, *, cipher: Cipher, settings: Settings) -> Document:
    """The prescription as an A4 PDF. Setting it takes a thread, so no transaction is held. Raises NotFound."""
    sheet = await run.read(partial(prescription_sheet, cipher=cipher, settings=settings), ask)
    return Document(
        content=await typeset(sheet), media_type="application/pdf", filename=f"prescription-{sheet.code}.pdf"
    )


async def prescription_sheet(
    tx: Tx, ask: PrintPrescription, *, cipher: Cipher, settings: Settings
) -> PrescriptionSheet:
    """Everything that the paper (or a printable page) says. Raises NotFound."""
    found = await read_prescription(tx, OfPrescription(id=ask.id), cipher=cipher)
    row = await queries.people(tx, found.doctor_id, found.patient_id)
    issued_on = found.issued_at.astimezone(zone(row["time_zone"])).date()
    return PrescriptionSheet(
        language=ask.language or ("hi" if tx.actor.language == "hi" else "en"),
        clinic=CLINIC,
        doctor_name=row["doctor_name"],
        registration_number=row["registration_number"],
        specialty=row["specialty"],
        patient_name=await patient_name(tx, row, cipher),
        age=_age(await _patients(tx, found.patient_id, "birth_date", row["birth_date"], cipher), issued_on),
        sex=_sex(await _patients(tx, found.patient_id, "sex", row["sex"], cipher)),
        issued_at=found.issued_at,
        time_zone=row["time_zone"],
        complaints=found.complaints,
        diagnosis=found.diagnosis,
        allergies=found.allergies,
        medicines=found.medicines,
        advice=found.advice,
        follow_up=found.follow_up,
        code=found.code,
        verify_url=f"{settings.public_url}/prescriptions/verify/{found.code}",
        consultation_number=found.consultation_id.hex[-8:].upper(),
    )


async def patient_name(tx: Tx, row: Record, cipher: Cipher) -> str:
    """The name in a row of people; a dash for one whose data was erased."""
    try:
        return await cipher.open(tx, row["user_id"], Place("users", "name", row["user_id"]), row["patient_name"])
    except Erased:
        return NO_NAME


async def _patients(tx: Tx, patient_id: PatientId, column: str, sealed: bytes | None, cipher: Cipher) -> str | None:
    if sealed is None:
        return None
    return await cipher.open(tx, patient_id, Place("patients", column, patient_id), sealed)


def _age(birth_date: str | None, on: date) -> int | None:
    if birth_date is None:
        return None
    born = date.fromisoformat(birth_date)
    years = on.year - born.year - ((on.month, on.day) < (born.month, born.day))
    return years if 0 <= years <= 150 else None


def _sex(text: str | None) -> Sex | None:
    return text if text in ("female", "male", "other") else None
