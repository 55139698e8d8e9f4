"""Slots for one consultation: the next gap of today for who walks in, a time of the doctor's choice for a follow-up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from server.core.ids import DoctorId
from server.core.tx import Tx
from server.scheduling import calendar_queries, queries
from server.scheduling.calendar_queries import Calendar
from server.scheduling.make import Fitted, announce
from server.scheduling.models import PublicSlot, Slot, SlotStatus
from server.scheduling.rules import day_is_full
from server.scheduling.slots import MINUTE, Span, Window

DAY = timedelta(days=1)


async def gap_of_today(tx: Tx, doctor_id: DoctorId) -> PublicSlot | None:
    """The next time in the doctor's hours of today that nobody has: a free slot, or one made where the calendar has
    a hole (a slot that has begun without a patient is one). None where today has no room.

    Nobody is told of a made one: the caller takes it in the same transaction.
    """
    of = await calendar_queries.calendar(tx, doctor_id, locked=True)
    if of is None or await day_is_full(tx, doctor_id, tx.now):
        return None
    hours = await _hours_of_today(tx, doctor_id, of)
    if not hours:
        return None
    standing = await queries.slots_inside(tx, doctor_id, Span(tx.now, hours[-1].end), tx.now)
    begun = [found for found in standing if found.status is SlotStatus.AVAILABLE and found.start_time <= tx.now]
    taken = [_around(found, of) for found in standing if found not in begun]
    gap = first_gap(hours, sorted(taken), _next_minute(tx.now), of.slot_minutes * MINUTE)
    free = await queries.first_free(tx, doctor_id, hours[-1].end)
    if free is not None and (gap is None or free.start_time <= gap.start):
        return free
    if gap is None:
        return None
    await queries.withdraw(tx, [found.id for found in begun])
    made = await queries.add_slots(tx, doctor_id, of, [gap])
    return made[0] if made else None


async def slot_at(tx: Tx, doctor_id: DoctorId, start: datetime) -> PublicSlot | None:
    """A free slot at this time, whatever the hours say: the one there is, or one made in the place of free ones that
    it touches. None where somebody has that time, or it is kept for somebody who waits."""
    of = await calendar_queries.calendar(tx, doctor_id, locked=True)
    if of is None:
        return None
    wanted = Span(start, start + of.slot_minutes * MINUTE)
    standing = await queries.slots_inside(tx, doctor_id, wanted, start)
    for found in standing:
        if Span(found.start_time, found.end_time) == wanted and found.status is SlotStatus.AVAILABLE:
            return found.public()
    if any(found.status is SlotStatus.BOOKED for found in standing):
        return None
    announce(tx, Fitted(made=[], withdrawn=await queries.withdraw_unkept(tx, [found.id for found in standing])))
    made = await queries.add_slots(tx, doctor_id, of, [wanted])
    return made[0] if made else None


def first_gap(hours: Sequence[Span], taken: Iterable[Span], earliest: datetime, lasts: timedelta) -> Span | None:
    """The first so long time inside hours that meets nothing taken; both sorted."""
    busy = list(taken)
    for span in hours:
        start = max(span.start, earliest)
        for held in busy:
            if start + lasts <= held.start:
                break
            if held.end > start:
                start = held.end
        if start + lasts <= span.end:
            return Span(start, start + lasts)
    return None


async def _hours_of_today(tx: Tx, doctor_id: DoctorId, of: Calendar) -> list[Span]:
    """What is left of the hours of the doctor's today, and of yesterday's past midnight, without leave."""
    zone = ZoneInfo(of.time_zone)
    today = tx.now.astimezone(zone).date()
    midnight = datetime.combine(today + DAY, time(), zone).astimezone(UTC)
    week = await calendar_queries.week(tx, doctor_id)
    spans = [
        _on(window, datetime.combine(day, time()), zone)
        for day in (today - DAY, today)
        for window in week
        if window.weekday == day.isoweekday()
    ]
    extra = await calendar_queries.extra_after(tx, doctor_id, tx.now)
    spans += [Span(hours.from_time, hours.to_time) for hours in extra if hours.from_time < midnight]
    for away in await calendar_queries.leave_after(tx, doctor_id, tx.now):
        spans = [rest for span in spans for rest in _without(span, Span(away.from_time, away.to_time))]
    return sorted(span for span in spans if span.end > tx.now)


def _on(window: Window, midnight: datetime, zone: ZoneInfo) -> Span:
    opens = (midnight + window.from_minute * MINUTE).replace(tzinfo=zone)
    closes = (midnight + window.to_minute * MINUTE).replace(tzinfo=zone)
    return Span(opens.astimezone(UTC), closes.astimezone(UTC))


def _without(span: Span, away: Span) -> list[Span]:
    if away.end <= span.start or span.end <= away.start:
        return [span]
    parts = (Span(span.start, away.start), Span(away.end, span.end))
    return [part for part in parts if part.start < part.end]


def _around(slot: Slot, of: Calendar) -> Span:
    """A slot with the pause that the doctor keeps on both sides."""
    pause = of.buffer_minutes * MINUTE
    return Span(slot.start_time - pause, slot.end_time + pause)


def _next_minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0) + MINUTE
