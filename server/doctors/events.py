"""What doctors tells the house."""

from __future__ import annotations

from server.core.events import Event
from server.core.ids import DoctorId

LISTED_KEY = "amrutam:doctors"


def doctor_key(doctor_id: DoctorId) -> str:
    """The Redis hash of a doctor's profile as everybody sees it."""
    return f"amrutam:doctor:{doctor_id}"


class DoctorChanged(Event, name="doctor.changed"):
    """A profile is another one: the fee of slots to come follows it."""

    doctor_id: DoctorId

    def stale_keys(self) -> list[str]:
        return [LISTED_KEY, doctor_key(self.doctor_id)]


class DoctorVerified(Event, name="doctor.verified"):
    """An administrator checked the registration number: the doctor is listed from now on."""

    doctor_id: DoctorId

    def stale_keys(self) -> list[str]:
        return [LISTED_KEY, doctor_key(self.doctor_id)]
