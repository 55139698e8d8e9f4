"""Keep a doctor's slots as the hours and the leave want them, up to the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from server.core.errors import NotFound
from server.core.ids import DoctorId
from server.core.models import Model
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import calendar_queries, queries
from server.scheduling.calendar_queries import Calendar
from server.scheduling.events import SlotChanged, SlotsBehind
from server.scheduling.models import MakeSlots, PublicSlot, SlotsMade, SlotStatus
from server.scheduling.rules import WATCHED
from server.scheduling.slots import Span, extra_times, slot_times
from server.scheduling.waitlist import keep_for_waiters

# The days that the list shows by default are right at once. Beyond them nobody waits for more slots than this in one
# go: each costs a row, its exclusion check and a row of the trail.
AT_ONCE = timedelta(days=8)
MOST_AT_ONCE = 1500


class Fitted(Model):
    """The slots that came and those that went."""

    made: list[PublicSlot]
    withdrawn: list[PublicSlot]


async def make_slots(tx: Tx, ask: MakeSlots, *, settings: Settings) -> SlotsMade:
    """Make the slots that are missing up to the horizon and withdraw free ones that fit no longer.

    Booked slots are never touched; what would overlap one is skipped. A second call changes nothing. Nobody is told:
    hours and leave tell of what they change, and what comes up at the horizon is found in the list.
    Raises NotFound without such a doctor.
    """
    fitted = await fit_slots(tx, ask.doctor_id, settings.slots_days_ahead)
    return SlotsMade(made=len(fitted.made), withdrawn=len(fitted.withdrawn))


async def fit_slots(tx: Tx, doctor_id: DoctorId, days_ahead: int) -> Fitted:
    """Bring the calendar in line up to so many days ahead, without a word to its room. Raises NotFound.

    The soonest slots come first; where there are more than one transaction should make, SlotsBehind asks the worker
    to go on.
    """
    calendar = await calendar_queries.calendar(tx, doctor_id, locked=True)
    if calendar is None:
        raise NotFound
    horizon = tx.now + timedelta(days=days_ahead)
    wanted = {
        span for span in await _wanted(tx, doctor_id, calendar, Span(tx.now, horizon)) if tx.now < span.start <= horizon
    }
    standing = await queries.standing_slots(tx, doctor_id)
    booked = sorted(slot.span for slot in standing if slot.booked)
    kept = {slot.span for slot in standing if not slot.booked and slot.span in wanted}
    missing = sorted(span for span in wanted - kept if not any(_meet(span, taken) for taken in booked))
    stale = [
        slot
        for slot in standing
        if not slot.booked
        and slot.span not in wanted
        and slot.span.start <= horizon
        # One that has begun without a patient stays, for whoever looks at it, unless it is in the way.
        and (slot.span.start > tx.now or any(_meet(slot.span, span) for span in missing))
    ]
    last = max(tx.now + AT_ONCE, _last_of(MOST_AT_ONCE, [*missing, *(slot.span for slot in stale)]))
    withdrawn = await queries.withdraw(tx, [slot.id for slot in stale if slot.span.start <= last])
    made = await queries.add_slots(tx, doctor_id, calendar, [span for span in missing if span.start <= last])
    made = await keep_for_waiters(tx, made)
    if any(span.start > last for span in [*missing, *(slot.span for slot in stale)]):
        tx.emit(SlotsBehind(doctor_id=doctor_id))
    return Fitted(made=made, withdrawn=withdrawn)


async def fits(tx: Tx, doctor_id: DoctorId, span: Span) -> bool:
    """Whether hours and leave want a slot of exactly this time."""
    calendar = await calendar_queries.calendar(tx, doctor_id, locked=False)
    return calendar is not None and span in await _wanted(tx, doctor_id, calendar, span)


async def _wanted(tx: Tx, doctor_id: DoctorId, calendar: Calendar, within: Span) -> list[Span]:
    """The slots that the week and the extra hours make in a time and a day around it, without those of leave."""
    zone = ZoneInfo(calendar.time_zone)
    weekly = slot_times(
        await calendar_queries.week(tx, doctor_id),
        calendar.time_zone,
        calendar.slot_minutes,
        calendar.buffer_minutes,
        within.start.astimezone(zone).date() - timedelta(days=1),  # yesterday's hours may go on past midnight
        within.end.astimezone(zone).date(),
    )
    extra = await calendar_queries.extra_after(tx, doctor_id, within.start)
    once = extra_times(
        [Span(hours.from_time, hours.to_time) for hours in extra],
        weekly,
        calendar.slot_minutes,
        calendar.buffer_minutes,
    )
    leave = [Span(away.from_time, away.to_time) for away in await calendar_queries.leave_after(tx, doctor_id, tx.now)]
    return [span for span in [*weekly, *once] if not any(_meet(span, away) for away in leave)]


def _last_of(most: int, changes: Sequence[Span]) -> datetime:
    """The start of the last change that one transaction makes: the nearest `most` of them."""
    soonest = sorted(span.start for span in changes)
    return soonest[min(most, len(soonest)) - 1] if soonest else datetime.max.replace(tzinfo=UTC)


def announce(tx: Tx, fitted: Fitted) -> None:
    """Tell the room of each slot near enough to be watched; a withdrawn one as BOOKED, one version on."""
    gone = [
        slot.model_copy(update={"status": SlotStatus.BOOKED, "version": slot.version + 1}) for slot in fitted.withdrawn
    ]
    for slot in sorted([*gone, *fitted.made], key=lambda slot: slot.start_time):
        if slot.start_time <= tx.now + WATCHED:
            tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot))


def _meet(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
