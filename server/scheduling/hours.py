"""A doctor's week and rules: read them, set them, and say which booked slots they leave outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import DoctorId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import calendar_queries, queries
from server.scheduling.calendar_queries import Calendar
from server.scheduling.events import SlotsBehind
from server.scheduling.make import Fitted, announce, fit_slots
from server.scheduling.models import BookedSlot, Hours, OfCalendar, SetHours, WeeklyHours
from server.scheduling.rules import tell_days
from server.scheduling.slots import DAY_MINUTES, Span, Window, joined, open_times, overlapping

FIRST_DAYS = 8  # what the list shows by default, and the day that it reaches into


async def set_hours(tx: Tx, ask: SetHours, *, settings: Settings) -> Hours:
    """Replace the week and bring the free slots in line with it; booked ones stay as they are.

    Raises Invalid naming hours that are empty, shorter than a slot, or overlap others (the week goes round), and a
    horizon beyond the days for which slots are made.
    """
    if ask.horizon_days is not None and ask.horizon_days > settings.slots_days_ahead:
        most = f"Slots are made {settings.slots_days_ahead} days ahead."
        raise Invalid(errors=[FieldError(field="horizon_days", code="too-far", message=most)])
    was, hours, fitted = await _keep(tx, ask, settings.slots_days_ahead)
    announce(tx, fitted)
    await tell_days(tx, ask.id, was.daily_limit)
    return hours


async def keep_first_hours(tx: Tx, ask: SetHours) -> Hours:
    """The same for a doctor whom nobody can be watching yet: the first week's slots, without an event each.

    The worker makes the others. A demonstration is ready sooner by the seconds that sixty days take.
    """
    _, hours, _ = await _keep(tx, ask, FIRST_DAYS)
    tx.emit(SlotsBehind(doctor_id=ask.id))
    return hours


async def read_hours(tx: Tx, ask: OfCalendar) -> Hours:
    """The week as it stands. Raises NotFound."""
    calendar = await calendar_queries.calendar(tx, ask.id, locked=False)
    if calendar is None:
        raise NotFound
    weekly = await calendar_queries.week(tx, ask.id)
    return await _hours_now(tx, ask.id, calendar, weekly, Fitted(made=[], withdrawn=[]))


async def _keep(tx: Tx, ask: SetHours, days_ahead: int) -> tuple[Calendar, Hours, Fitted]:
    weekly = [_window(hours) for hours in ask.weekly]
    _refuse_what_cannot_be(weekly, ask)
    was = await calendar_queries.calendar(tx, ask.id, locked=True)
    if was is None:
        raise NotFound
    is_now = replace(
        was,
        time_zone=ask.time_zone,
        slot_minutes=ask.slot_minutes,
        buffer_minutes=ask.buffer_minutes,
        lead_minutes=was.lead_minutes if ask.lead_minutes is None else ask.lead_minutes,
        horizon_days=was.horizon_days if ask.horizon_days is None else ask.horizon_days,
        daily_limit=ask.daily_limit if "daily_limit" in ask.model_fields_set else was.daily_limit,
    )
    await calendar_queries.set_calendar(tx, ask.id, is_now)
    await calendar_queries.replace_week(tx, ask.id, weekly)
    fitted = await fit_slots(tx, ask.id, days_ahead)
    return was, await _hours_now(tx, ask.id, is_now, weekly, fitted), fitted


async def _hours_now(
    tx: Tx, doctor_id: DoctorId, calendar: Calendar, weekly: Sequence[Window], fitted: Fitted
) -> Hours:
    return Hours(
        time_zone=calendar.time_zone,
        slot_minutes=calendar.slot_minutes,
        buffer_minutes=calendar.buffer_minutes,
        lead_minutes=calendar.lead_minutes,
        horizon_days=calendar.horizon_days,
        daily_limit=calendar.daily_limit,
        weekly=[_hours(window) for window in weekly],
        slots_made=len(fitted.made),
        slots_withdrawn=len(fitted.withdrawn),
        booked_outside=await _booked_outside(tx, doctor_id, calendar, weekly),
    )


async def _booked_outside(
    tx: Tx, doctor_id: DoctorId, calendar: Calendar, weekly: Sequence[Window]
) -> list[BookedSlot]:
    """What is booked and lies neither in the week nor in extra hours: nobody may be surprised by it."""
    booked = [slot for slot in await queries.standing_slots(tx, doctor_id) if slot.span.start > tx.now and slot.booked]
    if not booked:
        return []
    zone = ZoneInfo(calendar.time_zone)
    first = tx.now.astimezone(zone).date() - timedelta(days=1)
    last = max(slot.span.end for slot in booked).astimezone(zone).date()
    extra = [Span(once.from_time, once.to_time) for once in await calendar_queries.extra_after(tx, doctor_id, tx.now)]
    is_open = joined([*open_times(weekly, calendar.time_zone, first, last), *extra])
    return [
        BookedSlot(
            slot_id=slot.id,
            consultation_id=slot.consultation_id,
            start_time=slot.span.start,
            end_time=slot.span.end,
        )
        for slot in booked
        if slot.consultation_id is not None
        and not any(hours.start <= slot.span.start and slot.span.end <= hours.end for hours in is_open)
    ]


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
