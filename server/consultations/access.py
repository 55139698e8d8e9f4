"""Who may do what with a consultation: one function over its row, used by every door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from server.consultations import queries
from server.consultations.status import Status
from server.core.errors import NotFound
from server.core.ids import ConsultationId, DoctorId, PatientId
from server.core.tx import Actor, Role, Tx

RECORD_OPEN = timedelta(days=90)


class Who(Enum):
    """Whom an act is for."""

    PARTY = "patient, doctor or administrator"
    MEMBER = "patient or doctor"
    READER = "patient, or doctor with a live relationship"
    DOCTOR = "doctor of the consultation"
    TREATING = "doctor of the consultation with a live relationship"
    PATIENT = "patient of the consultation"


class NamesId(Protocol):
    """An ask whose address names the consultation."""

    @property
    def id(self) -> ConsultationId: ...


class NamesConsultation(Protocol):
    """An ask of a socket or a feature above."""

    @property
    def consultation_id(self) -> ConsultationId: ...


def may(
    actor: Actor,
    who: Who,
    patient_id: PatientId,
    doctor_id: DoctorId,
    *,
    status: Status,
    ended_at: datetime | None,
    now: datetime,
) -> bool:
    """The policy. A doctor's relationship lives while the consultation does, and 90 days after its completion."""
    is_patient = actor.role is Role.PATIENT and actor.patient_id == patient_id
    is_doctor = actor.role is Role.DOCTOR and actor.doctor_id == doctor_id
    treats = is_doctor and (
        status in (Status.PENDING, Status.ACTIVE)
        or (status is Status.COMPLETED and ended_at is not None and ended_at > now - RECORD_OPEN)
    )
    match who:
        case Who.PARTY:
            return is_patient or is_doctor or actor.role is Role.ADMIN
        case Who.MEMBER:
            return is_patient or is_doctor
        case Who.READER:
            return is_patient or treats
        case Who.DOCTOR:
            return is_doctor
        case Who.TREATING:
            return treats
        case Who.PATIENT:
            return is_patient


async def admitted(tx: Tx, consultation_id: ConsultationId, who: Who) -> bool:
    """Whether the one who acts is one of these. False for a consultation that does not exist."""
    row = await queries.parties(tx, consultation_id)
    return row is not None and may(
        tx.actor,
        who,
        row["patient_id"],
        row["doctor_id"],
        status=Status(row["status"]),
        ended_at=row["ended_at"],
        now=tx.now,
    )


def by_id(who: Who) -> Callable[[Tx, NamesId], Awaitable[None]]:
    """A check of asks that say `id`. Raises NotFound."""

    async def check(tx: Tx, ask: NamesId) -> None:
        if not await admitted(tx, ask.id, who):
            raise NotFound

    return check


def by_consultation(who: Who) -> Callable[[Tx, NamesConsultation], Awaitable[None]]:
    """A check of asks that say `consultation_id`. Raises NotFound."""

    async def check(tx: Tx, ask: NamesConsultation) -> None:
        if not await admitted(tx, ask.consultation_id, who):
            raise NotFound

    return check


party_to_consultation = by_id(Who.PARTY)
patient_or_doctor = by_id(Who.MEMBER)
reader_of_consultation = by_id(Who.READER)
doctor_of_consultation = by_id(Who.DOCTOR)
treating_doctor = by_id(Who.TREATING)
patient_of_consultation = by_id(Who.PATIENT)


async def treats(tx: Tx, doctor_id: DoctorId, patient_id: PatientId) -> bool:
    """Whether a doctor may read a patient's record: a consultation that is live, or completed within 90 days."""
    return await queries.treats(tx, doctor_id, patient_id, tx.now - RECORD_OPEN)
