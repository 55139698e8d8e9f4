"""Extra hours: a doctor sees patients at a time that the week does not have, once."""

from __future__ import annotations

from datetime import timedelta

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import new_id
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import calendar_queries
from server.scheduling.leave import booked_inside, refuse_time
from server.scheduling.make import announce, fit_slots
from server.scheduling.models import (
    AddExtraHours,
    ExtraHoursAdded,
    ExtraHoursEnded,
    ExtraHoursList,
    OfCalendar,
    OneExtraHours,
)
from server.scheduling.rules import tell_days
from server.scheduling.slots import MINUTE, Span

LONGEST = timedelta(days=1)


async def add_extra_hours(tx: Tx, ask: AddExtraHours, *, settings: Settings) -> ExtraHoursAdded:
    """Keep extra hours and make their slots at once, with the length and the pause of the week's.

    What the week has already, what is booked and what lies in leave gets no second slot. Raises Invalid for a time
    that is upside down, over, shorter than a slot or longer than a day.
    """
    refuse_time(tx, ask)
    calendar = await calendar_queries.calendar(tx, ask.id, locked=True)
    if calendar is None:
        raise NotFound
    if ask.to_time - ask.from_time < calendar.slot_minutes * MINUTE:
        raise Invalid(errors=[FieldError(field="to", code="too-short", message="No slot fits into these hours.")])
    if ask.to_time - ask.from_time > LONGEST:
        raise Invalid(errors=[FieldError(field="to", code="too-long", message="At most 24 hours at a time.")])
    extra_id = new_id(tx.now)
    await calendar_queries.add_extra(tx, extra_id, ask.id, Span(ask.from_time, ask.to_time))
    fitted = await fit_slots(tx, ask.id, settings.slots_days_ahead)
    announce(tx, fitted)
    await tell_days(tx, ask.id, calendar.daily_limit)
    made = [slot for slot in fitted.made if ask.from_time <= slot.start_time and slot.end_time <= ask.to_time]
    return ExtraHoursAdded(id=extra_id, from_time=ask.from_time, to_time=ask.to_time, slots_made=len(made))


async def list_extra_hours(tx: Tx, ask: OfCalendar) -> ExtraHoursList:
    """The extra hours of a doctor that have not ended."""
    return ExtraHoursList(items=await calendar_queries.extra_after(tx, ask.id, tx.now))


async def end_extra_hours(tx: Tx, ask: OneExtraHours, *, settings: Settings) -> ExtraHoursEnded:
    """Take extra hours back: their free slots go, booked ones stay and are named. Raises NotFound."""
    calendar = await calendar_queries.calendar(tx, ask.id, locked=True)
    hours = await calendar_queries.end_extra(tx, ask.id, ask.extra_id) if calendar else None
    if hours is None:
        raise NotFound
    fitted = await fit_slots(tx, ask.id, settings.slots_days_ahead)
    announce(tx, fitted)
    gone = [slot for slot in fitted.withdrawn if hours.start <= slot.start_time and slot.end_time <= hours.end]
    return ExtraHoursEnded(id=ask.extra_id, slots_withdrawn=len(gone), booked=await booked_inside(tx, ask.id, hours))
