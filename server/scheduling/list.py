"""The public list of a doctor's slots, the room that keeps it true, and the doctor's own calendar."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import DoctorId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import calendar_queries, queries
from server.scheduling.events import SLOTS
from server.scheduling.models import CalendarSlot, DoctorCalendar, ListSlots, PublicSlot, ReadCalendar, SlotList
from server.scheduling.rules import bookable_from
from server.scheduling.slots import Span

USUAL = timedelta(days=7)
LONGEST = timedelta(days=31)


async def read_slots(tx: Tx, ask: ListSlots, *, settings: Settings) -> SlotList:
    """All slots, free and booked, that begin in the asked time and can still be booked, as they are now.

    `offset` is the room's number in the same snapshot. Raises Invalid over 31 days, NotFound for an unlisted doctor.
    """
    begin, end = asked_time(tx.now, ask)
    room = SLOTS.of(doctor_id=ask.id)
    found = await queries.slots_between(tx, ask.id, max(begin, bookable_from(tx.now, settings)), end, room)
    if found is None:
        raise NotFound
    offset, items = found
    return SlotList(items=items, room=room, offset=offset)


async def read_calendar(tx: Tx, ask: ReadCalendar) -> DoctorCalendar:
    """What a doctor has in the asked time: slots of any kind, also past ones, leave and extra hours.

    Raises Invalid over 31 days, NotFound.
    """
    begin, end = asked_time(tx.now, ask)
    calendar = await calendar_queries.calendar(tx, ask.id, locked=False)
    if calendar is None:
        raise NotFound
    extra = [hours for hours in await calendar_queries.extra_after(tx, ask.id, begin) if hours.from_time < end]
    leave = [away for away in await calendar_queries.leave_after(tx, ask.id, begin) if away.from_time < end]
    return DoctorCalendar(
        time_zone=calendar.time_zone,
        items=[
            CalendarSlot(
                **dict(found),
                extra=any(hours.from_time <= found.start_time and found.end_time <= hours.to_time for hours in extra),
            )
            for found in await queries.slots_inside(tx, ask.id, Span(begin, end), begin)
        ],
        leave=leave,
        extra_hours=extra,
    )


async def next_free_slots(tx: Tx, doctor_id: DoctorId, after: datetime, limit: int = 5) -> list[PublicSlot]:
    """The next free slots of a doctor that begin after `after` and obey the doctor's own rules, soonest first."""
    return await queries.next_free(tx, doctor_id, after, limit)


def asked_time(now: datetime, ask: ListSlots) -> tuple[datetime, datetime]:
    """From when until when slots are asked for. Raises Invalid for no time at all, and for more than 31 days."""
    begin = ask.from_time or now
    end = ask.to_time or begin + USUAL
    if end <= begin:
        raise Invalid(errors=[FieldError(field="to", code="order", message="`to` must be after `from`.")])
    if end - begin > LONGEST:
        raise Invalid(errors=[FieldError(field="to", code="too-long", message="At most 31 days at a time.")])
    return begin, end
