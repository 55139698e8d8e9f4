"""What the pages of a doctor's hours and calendar show, as frozen models."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from web.staff_views import PlannedItem
from web.views import DoctorItem, Form, Item


class HoursRow(Item):
    """One period of the week; `weekday` 1 is Monday."""

    weekday: int
    from_wall: str = ""
    to_wall: str = ""


class HoursView(Form):
    """`/hours`: the week's periods, how slots are cut, and by which rules they are booked.

    `booked_outside` is what is booked and lies outside the week as it is now.
    """

    doctor: DoctorItem
    rows: Sequence[HoursRow]
    time_zone: str
    time_zones: Sequence[str]
    slot_minutes: str
    buffer_minutes: str
    lead_minutes: str
    horizon_days: str
    daily_limit: str
    house_lead: int
    most_days: int
    booked_outside: Sequence[PlannedItem] = ()


class CalendarItem(Item):
    """What stands in a day: free slots that follow each other (as one), a booked one, or leave."""

    kind: Literal["free", "booked", "leave"]
    start_time: datetime
    end_time: datetime
    count: int = 1
    extra: bool = False
    consultation_id: UUID | None = None
    patient_name: str = ""


class CalendarDay(Item):
    """A day by the clock of the calendar; `full` is one whose limit is reached."""

    date: date
    items: Sequence[CalendarItem]
    free: int
    booked: int
    is_today: bool
    is_past: bool
    full: bool


class LeaveItem(Item):
    """Leave that has not ended, and how many consultations are booked in it."""

    id: UUID
    from_time: datetime
    to_time: datetime
    booked: int


class ExtraItem(Item):
    """Extra hours that have not ended."""

    id: UUID
    from_time: datetime
    to_time: datetime


class CalendarView(Form):
    """`/calendar`: a week, leave and extra hours, and the forms for more.

    `inside` is what is booked in the leave that is asked for: the page asks what becomes of it. `left` is what could
    be neither cancelled nor moved.
    """

    doctor: DoctorItem
    time_zone: str
    days: Sequence[CalendarDay]
    earlier_url: str
    later_url: str
    today_url: str | None = None
    leave: Sequence[LeaveItem] = ()
    extra: Sequence[ExtraItem] = ()
    inside: Sequence[PlannedItem] = ()
    left: Sequence[PlannedItem] = ()
    leave_from: str = ""
    leave_to: str = ""
    extra_from: str = ""
    extra_to: str = ""
