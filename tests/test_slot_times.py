"""Slots from weekly hours: right by the doctor's wall clock on every day, also on those when the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.scheduling.slots import Span, Window, extra_times, open_times, overlapping, slot_times

ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
# The days on which the clocks of these zones change in 2027, forward and back.
CHANGES = {
    "Europe/London": (date(2027, 3, 28), date(2027, 10, 31)),
    "America/New_York": (date(2027, 3, 14), date(2027, 11, 7)),
    "Australia/Lord_Howe": (date(2027, 10, 3), date(2027, 4, 4)),
}
AROUND = [
    (zone, change + timedelta(days=shift))
    for zone, changes in CHANGES.items()
    for change in changes
    for shift in (-1, 0, 1)
]


def every_day(from_minute: int, to_minute: int) -> list[Window]:
    return [Window(weekday, from_minute, to_minute) for weekday in range(1, 8)]


def wall(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).strftime("%H:%M")


def walls(spans: list[Span], zone: str) -> list[str]:
    return [wall(span.start, zone) for span in spans]


@pytest.mark.parametrize(("zone", "day"), AROUND)
def test_hours_after_noon_keep_to_the_wall_clock_around_a_change(zone: str, day: date) -> None:
    spans = slot_times(every_day(13 * 60, 18 * 60), zone, 30, 0, day, day)
    assert len(spans) == 10
    assert wall(spans[0].start, zone) == "13:00"
    assert wall(spans[-1].end, zone) == "18:00"


@pytest.mark.parametrize(("zone", "day"), AROUND)
def test_a_whole_day_around_a_change_has_each_instant_once(zone: str, day: date) -> None:
    spans = slot_times(every_day(0, 24 * 60), zone, 30, 0, day, day)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    next_day = day + timedelta(days=1)
    next_midnight = datetime(next_day.year, next_day.month, next_day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert spans[0].start == midnight
    assert spans[-1].end == next_midnight
    assert all(one.end == other.start for one, other in pairwise(spans))


def test_hours_may_end_at_midnight() -> None:
    spans = slot_times([Window(1, 22 * 60 + 30, 24 * 60)], "Asia/Kolkata", 30, 0, date(2027, 1, 4), date(2027, 1, 4))
    assert walls(spans, "Asia/Kolkata") == ["22:30", "23:00", "23:30"]
    assert wall(spans[-1].end, "Asia/Kolkata") == "00:00"
    assert spans[-1].end.astimezone(ZoneInfo("Asia/Kolkata")).date() == date(2027, 1, 5)


def test_hours_may_go_on_past_midnight() -> None:
    spans = slot_times(
        [Window(1, 22 * 60 + 30, 25 * 60 + 30)], "Europe/London", 30, 0, date(2027, 1, 4), date(2027, 1, 10)
    )
    assert walls(spans, "Europe/London") == ["22:30", "23:00", "23:30", "00:00", "00:30", "01:00"]
    assert len(set(spans)) == len(spans)


def test_what_a_gap_leaves_out_is_left_out() -> None:
    spans = slot_times([Window(7, 0, 4 * 60)], "Europe/London", 30, 0, date(2027, 3, 28), date(2027, 3, 28))
    assert walls(spans, "Europe/London") == ["00:00", "00:30", "02:00", "02:30", "03:00", "03:30"]


def test_what_a_fold_doubles_exists_once_for_each_instant() -> None:
    spans = slot_times([Window(7, 0, 3 * 60)], "Europe/London", 30, 0, date(2027, 10, 31), date(2027, 10, 31))
    assert walls(spans, "Europe/London") == ["00:00", "00:30", "01:00", "01:30", "01:00", "01:30", "02:00", "02:30"]
    assert len({span.start for span in spans}) == len(spans)


def test_a_day_of_five_minute_slots_is_whole() -> None:
    spans = slot_times(every_day(8 * 60, 20 * 60), "Asia/Kolkata", 5, 0, date(2027, 1, 4), date(2027, 1, 4))
    assert len(spans) == 144


def test_a_buffer_stands_between_slots_and_not_after_the_last() -> None:
    spans = slot_times([Window(1, 9 * 60, 10 * 60 + 25)], "Asia/Kolkata", 25, 5, date(2027, 1, 4), date(2027, 1, 4))
    assert walls(spans, "Asia/Kolkata") == ["09:00", "09:30", "10:00"]


@pytest.mark.parametrize(
    ("weekly", "late"),
    [
        ([Window(1, 540, 720), Window(1, 720, 900)], []),
        ([Window(1, 540, 720), Window(1, 700, 900)], [1]),
        ([Window(7, 22 * 60, 26 * 60), Window(1, 60, 240)], [1]),
        ([Window(7, 22 * 60, 26 * 60), Window(1, 120, 240)], []),
        ([Window(1, 60, 240), Window(7, 22 * 60, 26 * 60)], [1]),
        ([Window(3, 540, 720), Window(3, 540, 720)], [1]),
    ],
)
def test_hours_that_overlap_are_found_also_at_the_turn_of_the_week(weekly: list[Window], late: list[int]) -> None:
    assert overlapping(weekly) == late


days = st.dates(date(2026, 1, 1), date(2029, 12, 31))


def a_window(weekday: int, begin: int, length: int) -> Window:
    return Window(weekday, begin * 15, (begin + length) * 15)


windows = st.builds(a_window, st.integers(1, 7), st.integers(0, 95), st.integers(1, 95))
weeks = st.lists(windows, max_size=6).map(
    lambda found: [window for index, window in enumerate(found) if index not in overlapping(found)]
)


@given(
    weekly=weeks,
    zone=st.sampled_from(ZONES),
    minutes=st.sampled_from([5, 15, 20, 45, 60, 90]),
    buffer=st.sampled_from([0, 5, 10]),
    day=st.one_of(days, st.sampled_from([day for _, day in AROUND])),
)
def test_slots_are_whole_never_overlap_and_lie_inside_the_hours(
    weekly: list[Window], zone: str, minutes: int, buffer: int, day: date
) -> None:
    assert overlapping(weekly) == []
    spans = slot_times(weekly, zone, minutes, buffer, day - timedelta(days=1), day + timedelta(days=1))
    assert spans == sorted(set(spans))
    assert all(one.end <= other.start for one, other in pairwise(spans))
    for span in spans:
        assert span.end - span.start == timedelta(minutes=minutes)
        for moment in (span.start, span.end - timedelta(minutes=1)):
            local = moment.astimezone(ZoneInfo(zone))
            minute = local.hour * 60 + local.minute
            assert any(
                (window.weekday == local.isoweekday() and window.from_minute <= minute < window.to_minute)
                or (
                    window.weekday == (local.date() - timedelta(days=1)).isoweekday()
                    and window.from_minute <= minute + 1440 < window.to_minute
                )
                for window in weekly
            )


@given(
    zone=st.sampled_from(ZONES),
    day=days,
    begin=st.integers(6, 20),
    hours=st.integers(1, 4),
    minutes=st.sampled_from([10, 15, 20, 30, 60]),
)
def test_daytime_hours_have_their_number_of_slots_on_every_day(
    zone: str, day: date, begin: int, hours: int, minutes: int
) -> None:
    spans = slot_times(every_day(begin * 60, (begin + hours) * 60), zone, minutes, 0, day, day)
    assert len(spans) == hours * 60 // minutes
    assert wall(spans[0].start, zone) == f"{begin:02}:00"
    assert wall(spans[-1].end, zone) == f"{(begin + hours) % 24:02}:00"


@given(zone=st.sampled_from(ZONES), day=days, cut=st.integers(0, 5))
def test_making_days_one_by_one_or_together_is_the_same(zone: str, day: date, cut: int) -> None:
    weekly = every_day(20 * 60, 26 * 60)
    last = day + timedelta(days=6)
    middle = day + timedelta(days=cut)
    together = slot_times(weekly, zone, 30, 0, day, last)
    parts = slot_times(weekly, zone, 30, 0, day, middle) + slot_times(
        weekly, zone, 30, 0, middle + timedelta(days=1), last
    )
    assert together == sorted(parts)


@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(1, 300)), max_size=5),
    st.lists(st.integers(0, 60), max_size=12),
    st.integers(5, 60),
    st.integers(0, 30),
)
def test_extra_hours_are_cut_around_what_there_is(
    hours: list[tuple[int, int]], weekly: list[int], slot_minutes: int, buffer_minutes: int
) -> None:
    noon = datetime(2027, 1, 4, 12, tzinfo=UTC)
    extra = [Span(noon + timedelta(minutes=at), noon + timedelta(minutes=at + long)) for at, long in hours]
    taken = [
        Span(noon + timedelta(minutes=15 * at), noon + timedelta(minutes=15 * at + 15)) for at in sorted({*weekly})
    ]
    made = extra_times(extra, taken, slot_minutes, buffer_minutes)
    assert all(one.end <= other.start for one, other in pairwise(sorted([*made, *taken])))
    assert all(span.end - span.start == timedelta(minutes=slot_minutes) for span in made)
    assert all(any(one.start <= span.start and span.end <= one.end for one in extra) for span in made)
    assert extra_times(extra, taken, slot_minutes, buffer_minutes) == made


@pytest.mark.parametrize(("zone", "day"), AROUND)
def test_every_slot_lies_in_the_times_that_are_open(zone: str, day: date) -> None:
    weekly = [*every_day(22 * 60, 26 * 60), *every_day(9 * 60, 12 * 60)]
    first, last = day - timedelta(days=1), day + timedelta(days=1)
    spans = open_times(weekly, zone, first, last)
    made = slot_times(weekly, zone, 20, 5, first, last)
    assert made
    assert all(any(one.start <= span.start and span.end <= one.end for one in spans) for span in made)
    assert all(one.end < other.start for one, other in pairwise(spans))
