"""A doctor's week: read it, set it, and take leave from it."""

from __future__ import annotations

from collections.abc import Sequence

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import new_id
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.events import SlotsBehind
from server.scheduling.make import Fitted, announce, fit_slots
from server.scheduling.models import Hours, Leave, ReadHours, SetHours, TakeLeave, WeeklyHours
from server.scheduling.slots import DAY_MINUTES, Span, Window, overlapping

FIRST_DAYS = 8  # what the list shows by default, and the day that it reaches into


async def set_hours(tx: Tx, ask: SetHours, *, settings: Settings) -> Hours:
    """Replace the week and bring the free slots in line with it; booked ones stay as they are.

    Raises Invalid naming hours that are empty, shorter than a slot, or overlap others (the week goes round).
    """
    hours, fitted = await _keep(tx, ask, settings.slots_days_ahead)
    announce(tx, fitted)
    return hours


async def keep_first_hours(tx: Tx, ask: SetHours) -> Hours:
    """The same for a doctor whom nobody can be watching yet: the first week's slots, without an event each.

    The worker makes the others. A demonstration is ready sooner by the seconds that sixty days take.
    """
    hours, _ = await _keep(tx, ask, FIRST_DAYS)
    tx.emit(SlotsBehind(doctor_id=ask.id))
    return hours


async def _keep(tx: Tx, ask: SetHours, days_ahead: int) -> tuple[Hours, Fitted]:
    weekly = [_window(hours) for hours in ask.weekly]
    _refuse_what_cannot_be(weekly, ask)
    if await queries.calendar(tx, ask.id, locked=True) is None:
        raise NotFound
    await queries.set_calendar(tx, ask.id, ask.time_zone, ask.slot_minutes, ask.buffer_minutes)
    await queries.replace_week(tx, ask.id, weekly)
    fitted = await fit_slots(tx, ask.id, days_ahead)
    hours = Hours(
        time_zone=ask.time_zone,
        slot_minutes=ask.slot_minutes,
        buffer_minutes=ask.buffer_minutes,
        weekly=ask.weekly,
        slots_made=len(fitted.made),
        slots_withdrawn=len(fitted.withdrawn),
    )
    return hours, fitted


async def read_hours(tx: Tx, ask: ReadHours) -> Hours:
    """The week as it stands. Raises NotFound."""
    calendar = await queries.calendar(tx, ask.id, locked=False)
    if calendar is None:
        raise NotFound
    return Hours(
        time_zone=calendar.time_zone,
        slot_minutes=calendar.slot_minutes,
        buffer_minutes=calendar.buffer_minutes,
        weekly=[_hours(window) for window in await queries.week(tx, ask.id)],
        slots_made=0,
        slots_withdrawn=0,
    )


async def take_leave(tx: Tx, ask: TakeLeave) -> Leave:
    """Keep leave and withdraw the free slots that touch it. Booked ones inside stay until someone cancels them.

    Raises Invalid when it ends before it begins, or has ended.
    """
    if ask.to_time <= ask.from_time:
        raise Invalid(errors=[FieldError(field="to", code="order", message="Leave must end after it begins.")])
    if ask.to_time <= tx.now:
        raise Invalid(errors=[FieldError(field="to", code="past", message="This leave is over.")])
    if await queries.calendar(tx, ask.id, locked=True) is None:
        raise NotFound
    leave_id = new_id(tx.now)
    span = Span(ask.from_time, ask.to_time)
    await queries.add_leave(tx, leave_id, ask.id, span)
    inside, booked = await queries.slots_inside(tx, ask.id, span)
    withdrawn = await queries.withdraw(tx, inside)
    announce(tx, Fitted(made=[], withdrawn=withdrawn))
    return Leave(
        id=leave_id,
        from_time=ask.from_time,
        to_time=ask.to_time,
        slots_withdrawn=len(withdrawn),
        booked_inside=booked,
    )


def _window(hours: WeeklyHours) -> Window:
    begin, end = _minutes(hours.from_wall), _minutes(hours.to_wall)
    return Window(hours.weekday, begin, end if end > begin else end + DAY_MINUTES)


def _hours(window: Window) -> WeeklyHours:
    end = window.to_minute if window.to_minute <= DAY_MINUTES else window.to_minute - DAY_MINUTES
    return WeeklyHours(weekday=window.weekday, from_wall=_wall(window.from_minute), to_wall=_wall(end))


def _minutes(wall: str) -> int:
    hour, _, minute = wall.partition(":")
    return int(hour) * 60 + int(minute)


def _wall(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _refuse_what_cannot_be(weekly: Sequence[Window], ask: SetHours) -> None:
    errors: list[FieldError] = []
    for index, (window, hours) in enumerate(zip(weekly, ask.weekly, strict=True)):
        where = f"weekly.{index}.to"
        if hours.from_wall == hours.to_wall:
            errors.append(FieldError(field=where, code="empty", message="Hours must end at another time."))
        elif window.to_minute - window.from_minute < ask.slot_minutes:
            errors.append(FieldError(field=where, code="too-short", message="No slot fits into these hours."))
    errors += [
        FieldError(field=f"weekly.{index}", code="overlap", message="These hours overlap earlier ones.")
        for index in overlapping(weekly)
    ]
    if errors:
        raise Invalid(errors=errors)
