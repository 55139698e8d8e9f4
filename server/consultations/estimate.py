"""When a turn should come: the doctor's own durations and delays, played through the queue a hundred times.

What is told is the middle of these plays, and the span that eight of ten fall into. How often the true start lies in
it is measured by `bench/waiting/calibration.py`.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import NormalDist
from typing import Literal

from server.core.ids import ConsultationId

Sure = Literal["low", "fair", "good"]
PLAYS = 101
LOW, MIDDLE, HIGH = 10, 50, 90  # of the plays in order: the bounds of eight of ten, and the one between them
LEARNED_FROM = 40
FEW = 5
SAME_DAY = timedelta(hours=10)
TODAY_COUNTS = 3
DAY_SPREAD = 0.2
"""How much a whole day runs slower or faster than a doctor's other days: one standard deviation of its logarithm."""
LONGEST_GAP = 3600.0
# What a doctor of whom nothing is known is taken for, in parts of a slot and in seconds.
DURATIONS_AT_FIRST = (0.4, 0.55, 0.65, 0.75, 0.85, 0.95, 1.05, 1.2, 1.5)
GAPS_AT_FIRST = (0.0, 10.0, 20.0, 40.0, 60.0, 90.0, 150.0, 300.0, 600.0)
# Longer than any before: what is left is unknown, and grows with how long it has been going on already.
LEFT_AFTER_THE_LONGEST = (60.0, 120.0, 240.0, 480.0, 900.0)
_ROOTS = tuple(math.sqrt(n) for n in range(2, 120) if math.isqrt(n) ** 2 != n)
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Past:
    """One consultation that has begun, as the pace is learned from it."""

    start_time: datetime
    checked_in_at: datetime | None
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Expected:
    """One consultation of the queue, as the turns are played."""

    id: ConsultationId
    start_time: datetime
    waits_from: datetime | None
    called: bool = False
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """How long this doctor takes and lets wait between two (seconds, in order), and from how many that is known.

    `free_since` is when the last consultation of today ended; `back_at` until when the doctor said to be away.
    """

    durations: tuple[float, ...]
    gaps: tuple[float, ...]
    known: int
    free_since: datetime | None = None
    back_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """When a turn should come, the span that eight of ten turns fall into, and how sure that is."""

    at: datetime
    earliest: datetime
    latest: datetime
    sure: Sure


def pace(now: datetime, past: Sequence[Past], slot_seconds: int, back_at: datetime | None = None) -> Pace:
    """The pace of a doctor; the slot's length where little is known. What happened today counts threefold."""
    begun = sorted(past, key=lambda one: one.started_at)
    durations: list[float] = []
    gaps: list[float] = []
    known = 0
    before: Past | None = None
    for one in begun[-LEARNED_FROM:]:
        weight = TODAY_COUNTS if now - one.started_at < SAME_DAY else 1
        gap = _gap(one, before)
        if gap is not None:
            gaps += [gap] * weight
        if one.ended_at is not None:
            durations += [(one.ended_at - one.started_at).total_seconds()] * weight
            known += 1
        before = one
    # The first guess fades as the doctor becomes known.
    at_first = 1 if known < 10 else 3 if known < 20 else 0
    if at_first:
        durations += [part * slot_seconds for part in DURATIONS_AT_FIRST[at_first // 2 :: at_first]]
        gaps += GAPS_AT_FIRST[at_first // 2 :: at_first]
    ended = [one.ended_at for one in begun if one.ended_at is not None and now - one.ended_at < SAME_DAY]
    return Pace(
        tuple(sorted(durations)),
        tuple(sorted(gaps)) or GAPS_AT_FIRST,
        known,
        max(ended, default=None),
        back_at if back_at is not None and back_at > now else None,
    )


def turns(now: datetime, queue: Sequence[Expected], of: Pace) -> dict[ConsultationId, Turn]:
    """The turn of everybody who waits.

    The doctor is followed through the queue: free after the call that is on and those called already, then taking
    the first by their place whose own slot has come, else whoever's slot comes soonest.
    """
    waiting = sorted(
        (one for one in queue if one.waits_from is not None), key=lambda one: (one.waits_from, str(one.id))
    )
    if not waiting:
        return {}
    in_call = [(now - one.started_at).total_seconds() for one in queue if one.started_at is not None]
    called = sum(one.called and one.started_at is None for one in queue)
    starts: dict[ConsultationId, list[float]] = {one.id: [] for one in waiting}
    steps: dict[ConsultationId, int] = {}
    for play in range(PLAYS):
        for id_, start, step in _played(now, waiting, in_call, called, of, play):
            starts[id_].append(start)
            steps.setdefault(id_, step)
    return {id_: _turn(now, sorted(played), of, steps[id_]) for id_, played in starts.items()}


def _gap(one: Past, before: Past | None) -> float | None:
    """How long patient and doctor both were free before a consultation began, in seconds."""
    if one.checked_in_at is None:
        return None
    ready = max(one.start_time, one.checked_in_at)
    if before is not None:
        if before.ended_at is None:
            return None
        ready = max(ready, before.ended_at)
    return min(max((one.started_at - ready).total_seconds(), 0.0), LONGEST_GAP)


def _turn(now: datetime, starts: Sequence[float], of: Pace, step: int) -> Turn:
    early, middle, late = (now + timedelta(seconds=round(starts[rank])) for rank in (LOW, MIDDLE, HIGH))
    half = (starts[HIGH] - starts[LOW]) / 2
    sure: Sure = "good" if half <= 300 else "fair" if half <= 750 else "low"
    if of.known < FEW:
        sure = "fair" if step == 0 and sure != "low" else "low"
    return Turn(*(at.replace(microsecond=0) for at in (middle, early, late)), sure=sure)


def _played(
    now: datetime, waiting: Sequence[Expected], in_call: Sequence[float], called: int, of: Pace, play: int
) -> list[tuple[ConsultationId, float, int]]:
    """One play: who begins when, in seconds from now, after how many others."""
    chance = _chances(play)
    day = math.exp(DAY_SPREAD * _NORMAL.inv_cdf(next(chance)))
    free_at = max((_left(of.durations, elapsed / day, next(chance)) * day for elapsed in in_call), default=0.0)
    for _ in range(called):
        free_at += _drawn(of.durations, next(chance)) * day
    if of.back_at is not None:
        free_at = max(free_at, (of.back_at - now).total_seconds())
    idle_since = (of.free_since - now).total_seconds() if of.free_since and not (in_call or called) else None
    opens = {one.id: (one.start_time - now).total_seconds() for one in waiting}
    arrived = {one.id: (one.waits_from - now).total_seconds() for one in waiting if one.waits_from is not None}
    left = list(waiting)
    step = len(in_call) + called
    found: list[tuple[ConsultationId, float, int]] = []
    while left:
        chosen = next((one for one in left if opens[one.id] <= free_at), None) or min(left, key=lambda o: opens[o.id])
        ready = max(opens[chosen.id], arrived[chosen.id], free_at if step or free_at else -math.inf)
        if idle_since is not None:
            ready = max(ready, idle_since)
        # Both have been ready for a while already: of the gaps that were longer, what is left of one.
        luck = next(chance)
        begins = _left(of.gaps, -ready, luck) if ready < 0 else ready + _drawn(of.gaps, luck)
        found.append((chosen.id, begins, step))
        free_at = begins + _drawn(of.durations, next(chance)) * day
        idle_since = None
        step += 1
        left.remove(chosen)
    return found


def _drawn(values: Sequence[float], chance: float) -> float:
    """The value at a part of the way through values in order."""
    place = chance * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def _left(values: Sequence[float], elapsed: float, chance: float) -> float:
    """What is left of something that has gone on for so long: of those that went on longer, the rest."""
    first = bisect_right(values, elapsed)
    longer = values[first:]
    if len(longer) < 3:
        return max(_drawn(LEFT_AFTER_THE_LONGEST, chance), elapsed * 0.2 * chance)
    return _drawn(longer, chance) - elapsed


def _chances(play: int) -> Iterator[float]:
    """Numbers between 0 and 1 that fill the square evenly (a Kronecker sequence): the same queue, the same plays."""
    for number in itertools.count():
        yield ((play + 0.5) * _ROOTS[number % len(_ROOTS)] + number * 0.618034) % 1.0 * 0.98 + 0.01
