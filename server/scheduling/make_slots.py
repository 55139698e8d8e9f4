"""Keep a doctor's slots as the hours and the leave want them, up to the horizon."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

from server.core.errors import NotFound
from server.core.ids import DoctorId
from server.core.models import Model
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.events import SlotChanged
from server.scheduling.models import MakeSlots, PublicSlot, SlotsMade, SlotStatus
from server.scheduling.slots import Span, slot_times

# A list shows at most this many days: what lies beyond is found in it when the days get there.
WATCHED = timedelta(days=31)


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
    """Bring the calendar in line up to so many days ahead, telling nobody yet. Raises NotFound."""
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
    withdrawn = await queries.withdraw(
        tx,
        [
            slot.id
            for slot in standing
            if not slot.booked and slot.span not in wanted and tx.now < slot.span.start <= horizon
        ],
    )
    missing = sorted(span for span in wanted - kept if not any(_meet(span, taken) for taken in booked))
    made = await queries.add_slots(tx, doctor_id, calendar, missing)
    return Fitted(made=made, withdrawn=withdrawn)


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
