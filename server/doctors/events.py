"""What doctors tells the house."""

from __future__ import annotations

from server.core.events import Event
from server.core.ids import DoctorId


class DoctorChanged(Event, name="doctor.changed"):
    """A profile is another one: the fee of slots to come follows it."""

    doctor_id: DoctorId


class DoctorVerified(Event, name="doctor.verified"):
    """An administrator checked the registration number: the doctor is listed from now on."""

    doctor_id: DoctorId
