"""What scheduling takes and gives: slots, weekly hours, leave, the waitlist."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field, StringConstraints

from server.core.ids import ConsultationId, DoctorId, SlotId
from server.core.models import Ask, Instant, Model, TimeZone
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
    """A slot as features above see it: with the consultation that holds it."""

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


class NextTimes(Model):
    """The next free slots of a doctor, soonest first, each bookable until `lead_minutes` before it begins."""

    slots: list[PublicSlot]
    lead_minutes: int


WallTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$"), Level.PUBLIC]
WallEnd = Annotated[str, StringConstraints(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$"), Level.PUBLIC]


class WeeklyHours(_FromTo):
    """Hours of one weekday, by the doctor's wall clock. `to` may be 24:00, or not after `from`: the next day."""

    weekday: int = Field(ge=1, le=7, strict=True)
    from_wall: WallTime = Field(validation_alias="from", serialization_alias="from")
    to_wall: WallEnd = Field(validation_alias="to", serialization_alias="to")


class SetHours(Ask):
    """A doctor's whole week, in one zone. Replaces what was.

    Notice (minutes), horizon (days) and daily limit stay as they are where they are not given; a limit of null is none.
    """

    id: DoctorId
    time_zone: TimeZone
    slot_minutes: int = Field(ge=5, le=240)
    buffer_minutes: int = Field(default=0, ge=0, le=120)
    weekly: list[WeeklyHours] = Field(max_length=70)
    lead_minutes: int | None = Field(default=None, ge=0, le=10080)
    horizon_days: int | None = Field(default=None, ge=1, le=366)
    daily_limit: int | None = Field(default=None, ge=1, le=500)


class BookedSlot(Model):
    """A slot that somebody has booked, for its doctor: which consultation holds it."""

    slot_id: SlotId
    consultation_id: ConsultationId
    start_time: Instant
    end_time: Instant


class Hours(Model):
    """A doctor's week and rules as they now are, and how many slots that made or took back.

    `booked_outside` are the booked slots to come that lie outside these hours: they stay until someone decides.
    """

    time_zone: TimeZone
    slot_minutes: int
    buffer_minutes: int
    lead_minutes: int
    horizon_days: int
    daily_limit: int | None
    weekly: list[WeeklyHours]
    slots_made: int
    slots_withdrawn: int
    booked_outside: list[BookedSlot]


class OfCalendar(Ask):
    """The doctor whose calendar it is."""

    id: DoctorId


class FromTo(_FromTo, Ask):
    """A time of a doctor's calendar, from one instant to another, the end not included."""

    id: DoctorId
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")


class KeepLeave(FromTo):
    """Leave to be kept."""


class Stretch(_FromTo):
    """A stretch of leave, or of extra hours."""

    id: UUID
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")


class Leave(Stretch):
    """Leave as it stands, and the booked slots that touch it: they stay until someone decides."""

    booked: list[BookedSlot]


class LeaveKept(Leave):
    """The same, with the number of free slots that it took back."""

    slots_withdrawn: int


class Leaves(Model):
    """All leave that has not ended, soonest first."""

    items: list[Leave]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class OneLeave(Ask):
    """A leave of a doctor."""

    id: DoctorId
    leave_id: UUID


class LeaveEnded(Model):
    """Leave that was taken back, and how many slots came back with it."""

    id: UUID
    slots_made: int


class AddExtraHours(FromTo):
    """Hours beside the week, once."""


class ExtraHoursAdded(Stretch):
    """Extra hours, and how many slots they made; none where the week or leave has that time already."""

    slots_made: int


class ExtraHoursList(Model):
    """All extra hours that have not ended, soonest first."""

    items: list[Stretch]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class OneExtraHours(Ask):
    """Extra hours of a doctor."""

    id: DoctorId
    extra_id: UUID


class ExtraHoursEnded(Model):
    """Extra hours that were taken back: the free slots that went, and the booked ones that stay."""

    id: UUID
    slots_withdrawn: int
    booked: list[BookedSlot]


class ReadCalendar(ListSlots):
    """A doctor's own calendar from `from` (now) to `to` (seven days later), at most 31 days."""


class CalendarSlot(PublicSlot):
    """A slot as its doctor sees it: who holds it, and whether it comes of extra hours."""

    consultation_id: ConsultationId | None
    extra: bool


class DoctorCalendar(Model):
    """Slots, leave and extra hours that touch a time, each soonest first."""

    time_zone: TimeZone
    items: list[CalendarSlot]
    leave: list[Stretch]
    extra_hours: list[Stretch]


class MakeSlots(Ask):
    """The doctor whose slots are to be made up to the horizon."""

    doctor_id: DoctorId


class SlotsMade(Model):
    """How many slots came and went."""

    made: int
    withdrawn: int
