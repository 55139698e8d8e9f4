"""The public list of slots as it is kept for a moment: whole days of a doctor, from which any time of them is cut.

What passes with time (what has begun, notice, horizon) is cut off when it is read, so the days are as good for every
reader and every moment until an event says otherwise. Who reads them anew after their second is over has their print
ready, and where nothing has changed the database answers with that alone.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from server.core.cache import Cache
from server.core.errors import NotFound
from server.core.ids import DoctorId
from server.core.routes import Encoded
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.scheduling import queries
from server.scheduling.events import SLOTS, slots_key
from server.scheduling.list import asked_time, next_free_slots
from server.scheduling.models import ListSlots, NextTimes, SlotList
from server.scheduling.queries import SlotsOfDays
from server.scheduling.rules import bookable_from, notices

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
FAR = 2**62


async def list_slots(run: Run, ask: ListSlots, *, settings: Settings, cache: Cache) -> Encoded[SlotList]:
    """All slots, free and booked, that begin in the asked time and can still be booked, soonest first; never cut.

    At most a second old. `offset` is the room's number in the same snapshot, so who goes on from there misses nothing.
    Raises Invalid over 31 days, NotFound for an unlisted doctor.
    """
    now = run.now
    begin, end = asked_time(now, ask)
    first, last = (begin - EPOCH) // DAY, -((EPOCH - end) // DAY)
    room = SLOTS.of(doctor_id=ask.id)

    async def load(old: bytes | None) -> bytes:
        known = _unpack(old) if old is not None else None

        async def days_of(tx: Tx, doctor_id: DoctorId) -> SlotsOfDays | None:
            span = EPOCH + first * DAY, EPOCH + last * DAY
            return await queries.all_slots_between(tx, doctor_id, *span, room, known.print if known else None)

        found = await run.glance(days_of, ask.id)
        if found is None:
            raise NotFound
        return _pack(found, known)

    days = await cache.read(slots_key(ask.id), f"{first}-{last}", load, lambda kept: _is_true(kept, now))
    return Encoded(_cut(days, max(begin, bookable_from(now, settings)), end, now, room))


async def next_times(run: Run, doctor_id: DoctorId, *, settings: Settings, cache: Cache, most: int) -> NextTimes:
    """The next free slots of a doctor, at most a second old. Raises NotFound without such a doctor."""

    async def times_of(tx: Tx, doctor_id: DoctorId) -> bytes:
        leads = await notices(tx, [doctor_id], settings=settings)
        if doctor_id not in leads:
            raise NotFound
        slots = await next_free_slots(tx, doctor_id, bookable_from(tx.now, settings), most)
        return NextTimes(slots=slots, lead_minutes=leads[doctor_id]).model_dump_json().encode()

    kept = NextTimes.model_validate_json(
        await cache.read(slots_key(doctor_id), f"next {most}", lambda _: run.read(times_of, doctor_id))
    )
    after = run.now + timedelta(minutes=kept.lead_minutes)
    return kept.model_copy(update={"slots": [slot for slot in kept.slots if slot.start_time > after]})


@dataclass(frozen=True, slots=True)
class _Days:
    """Kept days: when each slot begins, where it stands among the items (and where the last one ends), the rules."""

    room_number: int
    lead_minutes: int
    horizon_days: int
    print: int
    starts: Sequence[int]
    places: Sequence[int]
    items: bytes


def _pack(found: SlotsOfDays, known: _Days | None) -> bytes:
    """Until when all of it is true; what _Days has; the slots as JSON, commas between."""
    if found.slots is None:
        assert known is not None
        starts, places, items = known.starts, known.places, known.items
    else:
        encoded = [slot.model_dump_json().encode() for slot in found.slots]
        starts = [_microseconds(slot.start_time) for slot in found.slots]
        places = list(accumulate((len(item) + 1 for item in encoded), initial=0))
        items = b",".join(encoded)
    until = FAR if found.true_until is None else _microseconds(found.true_until)
    head = [found.room_number, found.lead_minutes, found.horizon_days, found.print, starts, places]
    return b"%d\n%s\n%s" % (until, json.dumps(head, separators=(",", ":")).encode(), items)


def _unpack(days: bytes) -> _Days:
    _, head, items = days.split(b"\n", 2)
    number, lead_minutes, horizon_days, print_, starts, places = json.loads(head)
    return _Days(number, lead_minutes, horizon_days, print_, starts, places, items)


def _is_true(days: bytes, now: datetime) -> bool:
    return int(days[: days.index(b"\n")]) > _microseconds(now)


def _cut(kept: bytes, begin: datetime, end: datetime, now: datetime, room: str) -> bytes:
    """The list as it leaves."""
    days = _unpack(kept)
    after = _microseconds(now + timedelta(minutes=days.lead_minutes))
    until = _microseconds(now + timedelta(days=days.horizon_days))
    low = max(bisect_left(days.starts, _microseconds(begin)), bisect_right(days.starts, after))
    high = min(bisect_left(days.starts, _microseconds(end)), bisect_right(days.starts, until))
    cut = days.items[days.places[low] : days.places[high] - 1] if low < high else b""
    rest = json.dumps({"room": room, "offset": days.room_number}, separators=(",", ":")).encode()
    return b'{"items":[' + cut + b"]," + rest[1:]


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND
