"""What scheduling tells: the public room of a doctor's slots."""

from __future__ import annotations

from server.core.events import Event, Room
from server.core.ids import DoctorId
from server.core.privacy import Level
from server.scheduling.models import PublicSlot

SLOTS = Room("slots:{doctor_id}", cleared=Level.PUBLIC)


class SlotChanged(Event, name="slot.changed", rooms=(SLOTS,)):
    """The slot as it now is. Never says who took it. A withdrawn slot is told as BOOKED: nobody can book it."""

    doctor_id: DoctorId
    slot: PublicSlot


class SlotsBehind(Event, name="slots.behind"):
    """A doctor's hours ask for more slots than one transaction made. The worker makes the next ones."""

    doctor_id: DoctorId
