"""Weekly hours to instants: which slots a doctor's wall-clock hours make, also on the days when clocks change."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of one weekday (1 is Monday), in minutes of the wall clock since that day's 00:00.

    `to_minute` is above 1440 where the hours go on past midnight.
    """

    weekday: int
    from_minute: int
    to_minute: int


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """One slot's time, UTC."""

    start: datetime
    end: datetime


def slot_times(
    weekly: Iterable[Window], zone: str, slot_minutes: int, buffer_minutes: int, from_day: date, to_day: date
) -> list[Span]:
    """The slots of hours that begin on the local days `from_day` to `to_day`, both included; soonest first.

    Slots begin every `slot_minutes + buffer_minutes` from the window's start, by the wall clock. A moment that a
    clock change leaves out makes no slot; a wall time that it doubles makes one for each instant; each slot lasts
    its full minutes and lies wholly inside the hours.
    """
    local = ZoneInfo(zone)
    windows = sorted(weekly, key=lambda window: (window.weekday, window.from_minute))
    found: list[Span] = []
    day = from_day
    while day <= to_day:
        for window in windows:
            if window.weekday == day.isoweekday():
                found.extend(_of_window(window, local, slot_minutes, buffer_minutes, day))
        day += timedelta(days=1)
    return sorted(found)


def extra_times(extra: Iterable[Span], taken: Iterable[Span], slot_minutes: int, buffer_minutes: int) -> list[Span]:
    """The slots of extra hours, one after the other from their beginning, around what is `taken` already."""
    kept = sorted(taken)
    found: list[Span] = []
    for hours in sorted(extra):
        start = hours.start
        while (end := start + slot_minutes * MINUTE) <= hours.end:
            span = Span(start, end)
            place = bisect_left(kept, span)
            near = kept[max(0, place - 1) : place + 1]
            in_the_way = [other.end for other in near if other.start < end and start < other.end]
            if not in_the_way:
                insort(kept, span)
                found.append(span)
            start = max([*in_the_way, start if in_the_way else end]) + buffer_minutes * MINUTE
    return found


def open_times(weekly: Iterable[Window], zone: str, from_day: date, to_day: date) -> list[Span]:
    """When the hours are open on these local days, as instants; hours that follow each other are one span.

    An end that a clock change doubles or leaves out is taken so that the hours are the longer ones.
    """
    local = ZoneInfo(zone)
    spans: list[Span] = []
    for day in (from_day + timedelta(days=n) for n in range((to_day - from_day).days + 1)):
        midnight = datetime.combine(day, time())
        for window in weekly:
            if window.weekday == day.isoweekday():
                opens, closes = (midnight + minute * MINUTE for minute in (window.from_minute, window.to_minute))
                spans.append(Span(min(_instants(opens, local)), max(_instants(closes, local))))
    return joined(spans)


def _instants(wall: datetime, local: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants that a wall time can mean: two where a clock change doubles it or leaves it out."""
    first, second = (wall.replace(tzinfo=local, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second


def joined(spans: Iterable[Span]) -> list[Span]:
    """Spans that touch or overlap, each group as one; soonest first."""
    whole: list[Span] = []
    for span in sorted(spans):
        if whole and span.start <= whole[-1].end:
            whole[-1] = Span(whole[-1].start, max(whole[-1].end, span.end))
        else:
            whole.append(span)
    return whole


def overlapping(weekly: Sequence[Window]) -> list[int]:
    """The places in `weekly` of hours that overlap earlier ones, the turn of the week included."""
    late: list[int] = []
    for index, window in enumerate(weekly):
        if any(_meet(window, other) for other in weekly[:index]):
            late.append(index)
    return late


def _meet(one: Window, other: Window) -> bool:
    a = (one.weekday - 1) * DAY_MINUTES + one.from_minute
    b = (other.weekday - 1) * DAY_MINUTES + other.from_minute
    return (b - a) % WEEK_MINUTES < one.to_minute - one.from_minute or (
        (a - b) % WEEK_MINUTES < other.to_minute - other.from_minute
    )


def _of_window(window: Window, local: ZoneInfo, slot_minutes: int, buffer_minutes: int, day: date) -> Iterator[Span]:
    midnight = datetime.combine(day, time())  # wall clock, without a zone: the labels that the window speaks of
    opens = (midnight + window.from_minute * MINUTE).replace(tzinfo=local)
    closes = (midnight + window.to_minute * MINUTE).replace(tzinfo=local)
    step = slot_minutes + buffer_minutes
    if opens.utcoffset() == closes.utcoffset() == closes.replace(fold=1).utcoffset() and (
        opens.replace(fold=1).utcoffset() == opens.utcoffset()
    ):
        first = opens.astimezone(UTC)
        for minute in range(0, window.to_minute - window.from_minute - slot_minutes + 1, step):
            start = first + minute * MINUTE
            yield Span(start, start + slot_minutes * MINUTE)
        return
    yield from _across_a_change(window, local, slot_minutes, buffer_minutes, midnight)


def _across_a_change(
    window: Window, local: ZoneInfo, slot_minutes: int, buffer_minutes: int, midnight: datetime
) -> Iterator[Span]:
    """Minute by minute, since the wall clock jumps inside these hours: twice a year at most."""
    step = slot_minutes + buffer_minutes
    now = midnight.replace(tzinfo=local).astimezone(UTC) + (window.from_minute - 180) * MINUTE
    last = midnight.replace(tzinfo=local).astimezone(UTC) + (window.to_minute + 180) * MINUTE
    starts: list[datetime] = []
    open_minutes: set[datetime] = set()
    while now <= last:
        label = (now.astimezone(local).replace(tzinfo=None) - midnight) // MINUTE
        if window.from_minute <= label < window.to_minute:
            open_minutes.add(now)
            if (label - window.from_minute) % step == 0:
                starts.append(now)
        now += MINUTE
    free_from: datetime | None = None
    for start in starts:
        # A jump can bring two wall times nearer than a slot is long: the earlier one keeps its minutes.
        if free_from is not None and start < free_from:
            continue
        if all(start + minute * MINUTE in open_minutes for minute in range(slot_minutes)):
            free_from = start + step * MINUTE
            yield Span(start, start + slot_minutes * MINUTE)
