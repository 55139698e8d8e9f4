"""What scheduling tells: the public room of a doctor's slots."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from server.accounts import USER
from server.core.events import Event, Room
from server.core.ids import DoctorId, SlotId
from server.core.privacy import Level
from server.scheduling.models import PublicSlot
from server.scheduling.waitlist_models import Wish

SLOTS = Room("slots:{doctor_id}", cleared=Level.PUBLIC)


def slots_key(doctor_id: DoctorId) -> str:
    """The Redis hash of a doctor's slots as they are listed."""
    return f"amrutam:slots:{doctor_id}"


class SlotChanged(Event, name="slot.changed", rooms=(SLOTS,)):
    """The slot as it now is. Never says who took it. A withdrawn slot is told as BOOKED: nobody can book it."""

    doctor_id: DoctorId
    slot: PublicSlot

    def stale_keys(self) -> list[str]:
        return [slots_key(self.doctor_id)]


class SlotsBehind(Event, name="slots.behind"):
    """A doctor's hours ask for more slots than one transaction made. The worker makes the next ones."""

    doctor_id: DoctorId


class SlotsFreed(Event, name="slots.freed"):
    """Slots came free that somebody waits for. They are kept until it is found out whose turn it is."""

    doctor_id: DoctorId
    slot_ids: list[SlotId]


class SlotOffered(Event, name="slot.offered"):
    """A freed slot is kept for the first in line, who is told by mail; the token is its link's."""

    offer_id: UUID
    token: Annotated[str, Level.CRITICAL]


class WaitlistChanged(Event, name="waitlist.changed", rooms=(USER,)):
    """A patient's wish as it now is: with an offer, without one any more, or closed."""

    user_id: UUID
    wish: Wish
