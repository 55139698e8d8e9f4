"""How often the true start of a consultation fell into the span that its patient was told.

    python -m bench.waiting.calibration [--days 150] [--seed 7] [--rows FILE]

Without `--rows` it makes doctors and their days: each doctor's own pace, days that run slower or faster, patients who
come early, late or not at all, talks that take twice as long. With `--rows` it replays a doctor's real days from a CSV
file of `doctor,start_time,checked_in_at,started_at,ended_at` (RFC 3339; an empty field is absent). Either way each day
is replayed with nothing known but the days before it: whenever somebody checks in, is called or leaves, everyone who
waits is told a span, and the day then says how it came out.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from uuid import UUID

from server.consultations import Expected, Past, pace, turns
from server.core.ids import ConsultationId

SLOT_SECONDS = 900
KEPT = 45  # what the server reads of a doctor's past
MINUTE = timedelta(minutes=1)


@dataclass
class Told:
    """What was said and what came: errors and widths in minutes, by how many were before."""

    hits: int = 0
    told: int = 0
    errors: list[float] = field(default_factory=list[float])
    widths: list[float] = field(default_factory=list[float])

    def hear(self, start: datetime, earliest: datetime, middle: datetime, latest: datetime) -> None:
        self.told += 1
        # Half a minute either way: people are told hours and minutes.
        self.hits += earliest - MINUTE / 2 <= start <= latest + MINUTE / 2
        self.errors.append(abs((start - middle) / MINUTE))
        self.widths.append((latest - earliest) / MINUTE)


def a_practice(chance: random.Random, days: int, begins: datetime) -> list[list[Past]]:
    """The days of one doctor, twelve slots each."""
    own, spread = chance.uniform(0.5, 1.1) * SLOT_SECONDS, chance.uniform(0.25, 0.55)
    found: list[list[Past]] = []
    for number in range(days):
        morning = begins + timedelta(days=number)
        pace_of_day, late = chance.lognormvariate(0, 0.15), max(0.0, chance.gauss(240, 240))
        free_at = morning + timedelta(seconds=late)
        held: list[Past] = []
        for slot in range(12):
            start = morning + timedelta(seconds=slot * SLOT_SECONDS)
            if chance.random() < 0.12:
                continue
            arrived = start + timedelta(seconds=chance.gauss(-420, 360))
            gap = min(chance.expovariate(1 / 75), 900)
            began = max(free_at, start, arrived) + timedelta(seconds=gap)
            length = own * pace_of_day * chance.lognormvariate(0, spread) * (2 if chance.random() < 0.04 else 1)
            free_at = began + timedelta(seconds=max(length, 90))
            held.append(Past(start, arrived, began, free_at))
        found.append(held)
    return found


def replay(history: Sequence[Past], day: Sequence[Past]) -> Iterator[tuple[int, Past, datetime, datetime, datetime]]:
    """Tell everyone at each event of a day: who was before whom, and the span."""
    ids = {number: ConsultationId(UUID(int=number + 1)) for number in range(len(day))}
    moments = sorted({at for one in day for at in (one.checked_in_at, one.started_at, one.ended_at) if at is not None})
    for now in moments:
        begun = [*history, *(one for one in day if one.started_at <= now)]
        known = [
            Past(o.start_time, o.checked_in_at, o.started_at, o.ended_at if o.ended_at and o.ended_at <= now else None)
            for o in begun[-KEPT:]
        ]
        queue = [
            Expected(
                ids[number],
                one.start_time,
                waits_from=one.checked_in_at
                if one.checked_in_at is not None and one.checked_in_at <= now < one.started_at
                else None,
                started_at=one.started_at
                if one.started_at <= now and (not one.ended_at or one.ended_at > now)
                else None,
            )
            for number, one in enumerate(day)
        ]
        found = turns(now, queue, pace(now, known, SLOT_SECONDS))
        for place, (id_, turn) in enumerate(sorted(found.items(), key=lambda item: item[1].at)):
            yield place, day[id_.int - 1], turn.earliest, turn.at, turn.latest


def from_rows(path: Path) -> dict[str, list[list[Past]]]:
    """Each doctor's days out of a file."""
    days: dict[str, dict[str, list[Past]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at = {name: datetime.fromisoformat(row[name]) if row[name] else None for name in row if name != "doctor"}
            start, began = at["start_time"], at["started_at"]
            if start is not None and began is not None:
                days[row["doctor"]][f"{began:%F}"].append(Past(start, at["checked_in_at"], began, at["ended_at"]))
    return {
        doctor: [sorted(of_day, key=lambda one: one.started_at) for _, of_day in sorted(by_day.items())]
        for doctor, by_day in days.items()
    }


def calibrate(practices: Sequence[Sequence[Sequence[Past]]]) -> dict[int, Told]:
    """What all days together say, by how many were before: from 0 to 4 and more."""
    by_place: dict[int, Told] = defaultdict(Told)
    for days in practices:
        history: list[Past] = []
        for day in days:
            for place, one, earliest, middle, latest in replay(history, day):
                by_place[min(place, 4)].hear(one.started_at, earliest, middle, latest)
            history += day
    return by_place


def main() -> None:
    """Print the share of starts that fell into their spans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=150, help="days in all, ten a doctor")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rows", type=Path, help="a CSV file of real consultations")
    given = parser.parse_args()
    if given.rows:
        practices = list(from_rows(given.rows).values())
    else:
        chance = random.Random(given.seed)
        begins = datetime(2026, 1, 5, 4, tzinfo=UTC)
        practices = [a_practice(chance, 10, begins) for _ in range(max(given.days // 10, 1))]
    found = calibrate(practices)
    print("before  told   in the span   middle error   middle width")
    for place, told in sorted(found.items()):
        print(f"{place}{'+' if place == 4 else ' '}   {told.told:6d}   {_line(told)}")
    print(f"all  {sum(t.told for t in found.values()):6d}   {_line(_all(found))}")


def _all(found: dict[int, Told]) -> Told:
    every = Told()
    for told in found.values():
        every.hits += told.hits
        every.told += told.told
        every.errors += told.errors
        every.widths += told.widths
    return every


def _line(told: Told) -> str:
    return f"{told.hits / told.told:10.1%}   {median(told.errors):8.1f} min   {median(told.widths):8.1f} min"


if __name__ == "__main__":
    main()
