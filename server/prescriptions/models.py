"""What prescriptions take and give."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from server.core.ids import ConsultationId, DoctorId, PatientId, PrescriptionId
from server.core.models import Ask, Instant, Line, Model, Prose
from server.core.privacy import Level
from server.prescriptions.paper import Medicine

# Crockford's alphabet: no I, L, O, U. What people read or type for one of them means its look-alike.
_LOOK_ALIKES = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})


def _plain_code(value: object) -> object:
    return value.upper().translate(_LOOK_ALIKES) if isinstance(value, str) and len(value) <= 40 else value


Code = Annotated[
    str,
    BeforeValidator(_plain_code),
    StringConstraints(pattern=r"^[0-9A-HJKMNP-TV-Z]{10}$"),
    Level.INTERNAL,
]


class MedicineLine(Ask):
    """One medicine. `days` left out is "as needed" or "goes on"."""

    name: Line
    dose: Line
    frequency: Line
    days: int | None = Field(default=None, ge=1, le=999)
    instruction: Prose | None = None


class WritePrescription(Ask):
    """What the doctor prescribes in this consultation."""

    id: ConsultationId
    medicines: list[MedicineLine] = Field(min_length=1, max_length=30)
    complaints: Prose | None = None
    diagnosis: Prose | None = None
    allergies: Prose | None = None
    advice: Prose | None = None
    follow_up: Prose | None = None


class PrescriptionText(Model):
    """What is sealed: everything the doctor wrote."""

    medicines: tuple[Medicine, ...]
    complaints: Prose | None = None
    diagnosis: Prose | None = None
    allergies: Prose | None = None
    advice: Prose | None = None
    follow_up: Prose | None = None


class Prescription(PrescriptionText):
    """A prescription. `code` is what a chemist checks it by."""

    id: PrescriptionId
    consultation_id: ConsultationId
    patient_id: PatientId
    doctor_id: DoctorId
    code: Annotated[str, Level.INTERNAL]
    issued_at: Instant


class Prescriptions(Model):
    """All prescriptions of a consultation, oldest first."""

    items: list[Prescription]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class OfPrescription(Ask):
    """The prescription that the address names."""

    id: PrescriptionId


class PrintPrescription(Ask):
    """The prescription to print, and in which language; the reader's own where none is named."""

    id: PrescriptionId
    language: Literal["en", "hi"] | None = None


class VerifyPrescription(Ask):
    """The code on a printed prescription, in either case, with or without its hyphen."""

    code: Code


class Genuine(Model):
    """What anybody may learn of a prescription whose code they hold: nothing of the patient but initials."""

    genuine: Literal[True] = True
    code: Annotated[str, Level.INTERNAL]
    issued_at: Instant
    doctor_name: Annotated[str, Level.PUBLIC]
    registration_number: Annotated[str, Level.PUBLIC]
    specialty: Annotated[str, Level.PUBLIC]
    patient_initials: Annotated[str, Level.SENSITIVE]
