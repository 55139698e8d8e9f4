"""What scheduling takes and gives: slots, weekly hours, leave, the waitlist."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from server.core.ids import ConsultationId, DoctorId, SlotId
from server.core.models import Ask, Currency, Instant, Model, TimeZone
from server.core.privacy import Level


class SlotStatus(StrEnum):
    """The seed's two."""

    AVAILABLE = "AVAILABLE"
    BOOKED = "BOOKED"


class PublicSlot(Model):
    """A slot as everybody may see it. Never says who took it. A withdrawn one is told once, as BOOKED."""

    id: SlotId
    doctor_id: DoctorId
    start_time: Instant
    end_time: Instant
    status: SlotStatus
    version: int


class Slot(PublicSlot):
    """A slot as features above see it: with what it costs and whose it is."""

    fee_minor: int
    currency: Currency
    consultation_id: ConsultationId | None = None

    def public(self) -> PublicSlot:
        """What rooms and lists may show."""
        return PublicSlot(
            id=self.id,
            doctor_id=self.doctor_id,
            start_time=self.start_time,
            end_time=self.end_time,
            status=self.status,
            version=self.version,
        )


class _FromTo(Model):
    """`from` is a word of Python's: such fields have another name here and their own on the wire."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class ListSlots(_FromTo, Ask):
    """Slots of a doctor from `from` (now) to `to` (seven days later), at most 31 days."""

    id: DoctorId
    from_time: Instant | None = Field(default=None, validation_alias="from", serialization_alias="from")
    to_time: Instant | None = Field(default=None, validation_alias="to", serialization_alias="to")


class SlotList(Model):
    """Every slot of the asked time, soonest first, with the room that keeps it true and the number it is true at."""

    items: list[PublicSlot]
    room: Annotated[str, Level.PUBLIC]
    offset: int


WallTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$"), Level.PUBLIC]
WallEnd = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"), Level.PUBLIC]


class WeeklyHours(_FromTo):
    """Hours of one weekday, by the doctor's wall clock. `to` may be 24:00, or not after `from`: the next day."""

    weekday: int = Field(ge=1, le=7, strict=True)
    from_wall: WallTime = Field(validation_alias="from", serialization_alias="from")
    to_wall: WallEnd = Field(validation_alias="to", serialization_alias="to")


class SetHours(Ask):
    """A doctor's whole week, in one zone. Replaces what was."""

    id: DoctorId
    time_zone: TimeZone
    slot_minutes: int = Field(ge=5, le=240)
    buffer_minutes: int = Field(default=0, ge=0, le=120)
    weekly: list[WeeklyHours] = Field(max_length=70)


class Hours(Model):
    """A doctor's week as it now is, and how many slots that made or took back."""

    time_zone: TimeZone
    slot_minutes: int
    buffer_minutes: int
    weekly: list[WeeklyHours]
    slots_made: int
    slots_withdrawn: int


class ReadHours(Ask):
    """The doctor whose week is read."""

    id: DoctorId


class TakeLeave(_FromTo, Ask):
    """From one instant to another, the end not included."""

    id: DoctorId
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")


class Leave(_FromTo):
    """Leave as it stands, and what it did: free slots withdrawn, and booked ones that stay until someone decides."""

    id: UUID
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")
    slots_withdrawn: int
    booked_inside: int


class MakeSlots(Ask):
    """The doctor whose slots are to be made up to the horizon."""

    doctor_id: DoctorId


class SlotsMade(Model):
    """How many slots came and went."""

    made: int
    withdrawn: int


class JoinWaitlist(_FromTo, Ask):
    """A wish for a slot of this doctor that begins in this time."""

    doctor_id: DoctorId
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")


class Wish(_FromTo):
    """A patient's place on a waitlist."""

    id: UUID
    doctor_id: DoctorId
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")
    offered_slot_id: SlotId | None
    offered_until: Instant | None
    closed_at: Instant | None


class Wishes(Model):
    """All places of a patient that are still open, oldest first."""

    items: list[Wish]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None
