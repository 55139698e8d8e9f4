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
from server.scheduling import queries
from server.scheduling.events import SlotChanged, SlotsBehind
from server.scheduling.models import MakeSlots, PublicSlot, SlotsMade, SlotStatus
from server.scheduling.slots import Span, slot_times

# A list shows at most this many days: what lies beyond is found in it when the days get there.
WATCHED = timedelta(days=31)
# The days that the list shows by default are right at once. Beyond them nobody waits for more slots than this in one
# go: each costs a row, its exclusion check and a row of the trail.
AT_ONCE = timedelta(days=8)
MOST_AT_ONCE = 1500


class Fitted(Model):
    """The slots that came and those that went."""

    made: list[PublicSlot]
    withdrawn: list[PublicSlot]


async def make_slots(tx: Tx, ask: MakeSlots, *, settings: Settings) -> SlotsMade:
    """Make the slots that are missing up to the horizon and withdraw free ones that fit no longer, or went by.

    Booked slots are never touched; what would overlap one is skipped. A second call changes nothing. Nobody is told:
    hours and leave tell of what they change, and what comes up at the horizon is found in the list.
    Raises NotFound without such a doctor.
    """
    fitted = await fit_slots(tx, ask.doctor_id, settings.slots_days_ahead)
    await queries.forget_past(tx, ask.doctor_id)
    return SlotsMade(made=len(fitted.made), withdrawn=len(fitted.withdrawn))


async def fit_slots(tx: Tx, doctor_id: DoctorId, days_ahead: int) -> Fitted:
    """Bring the calendar in line up to so many days ahead, without a word to its room. Raises NotFound.

    The soonest slots come first; where there are more than one transaction should make, SlotsBehind asks the worker
    to go on.
    """
    calendar = await queries.calendar(tx, doctor_id, locked=True)
    if calendar is None:
        raise NotFound
    today = tx.now.astimezone(ZoneInfo(calendar.time_zone)).date()
    horizon = tx.now + timedelta(days=days_ahead)
    leave = await queries.leave_after(tx, doctor_id, tx.now)
    wanted = {
        span
        # Yesterday's hours may go on past midnight.
        for span in slot_times(
            await queries.week(tx, doctor_id),
            calendar.time_zone,
            calendar.slot_minutes,
            calendar.buffer_minutes,
            today - timedelta(days=1),
            today + timedelta(days=days_ahead),
        )
        if tx.now < span.start <= horizon and not any(_meet(span, away) for away in leave)
    }
    standing = await queries.standing_slots(tx, doctor_id)
    booked = sorted(slot.span for slot in standing if slot.booked)
    kept = {slot.span for slot in standing if not slot.booked and slot.span in wanted}
    stale = [s for s in standing if not s.booked and s.span not in wanted and tx.now < s.span.start <= horizon]
    missing = sorted(span for span in wanted - kept if not any(_meet(span, taken) for taken in booked))
    last = max(tx.now + AT_ONCE, _last_of(MOST_AT_ONCE, [*missing, *(slot.span for slot in stale)]))
    withdrawn = await queries.withdraw(tx, [slot.id for slot in stale if slot.span.start <= last])
    made = await queries.add_slots(tx, doctor_id, calendar, [span for span in missing if span.start <= last])
    if any(span.start > last for span in [*missing, *(slot.span for slot in stale)]):
        tx.emit(SlotsBehind(doctor_id=doctor_id))
    return Fitted(made=made, withdrawn=withdrawn)


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
