"""The public list of slots as it is kept for a moment: whole days of a doctor, from which any time of them is cut.

What passes with time (what has begun, notice, horizon) is cut off when it is read, so the days are as good for every
reader and every moment until an event says otherwise.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta

from server.core.cache import Cache
from server.core.errors import NotFound
from server.core.ids import DoctorId
from server.core.routes import Encoded
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.scheduling import queries
from server.scheduling.events import SLOTS, slots_key
from server.scheduling.list import asked_time
from server.scheduling.models import ListSlots, SlotList
from server.scheduling.queries import SlotsOfDays
from server.scheduling.rules import bookable_from

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

    async def days_of(tx: Tx, doctor_id: DoctorId) -> bytes:
        found = await queries.all_slots_between(tx, doctor_id, EPOCH + first * DAY, EPOCH + last * DAY, room)
        if found is None:
            raise NotFound
        return _pack(found)

    days = await cache.read(
        slots_key(ask.id), f"{first}-{last}", lambda: run.glance(days_of, ask.id), lambda kept: _is_true(kept, now)
    )
    return Encoded(_cut(days, max(begin, bookable_from(now, settings)), end, now, room))


def _pack(found: SlotsOfDays) -> bytes:
    """Until when all of it is true; where each slot begins, by time and by place; the slots as JSON, commas between."""
    starts: list[int] = []
    places: list[int] = []
    items: list[bytes] = []
    place = 0
    for slot in found.slots:
        item = slot.model_dump_json().encode()
        starts.append(_microseconds(slot.start_time))
        places.append(place)
        items.append(item)
        place += len(item) + 1
    until = FAR if found.true_until is None else _microseconds(found.true_until)
    rules = [found.room_number, found.lead_minutes, found.horizon_days, starts, [*places, place]]
    return b"%d\n%s\n%s" % (until, json.dumps(rules, separators=(",", ":")).encode(), b",".join(items))


def _is_true(days: bytes, now: datetime) -> bool:
    return int(days[: days.index(b"\n")]) > _microseconds(now)


def _cut(days: bytes, begin: datetime, end: datetime, now: datetime, room: str) -> bytes:
    """The list as it leaves."""
    _, rules, items = days.split(b"\n", 2)
    number, lead_minutes, horizon_days, starts, places = json.loads(rules)
    after = _microseconds(now + timedelta(minutes=lead_minutes))
    until = _microseconds(now + timedelta(days=horizon_days))
    low = max(bisect_left(starts, _microseconds(begin)), bisect_right(starts, after))
    high = min(bisect_left(starts, _microseconds(end)), bisect_right(starts, until))
    cut = items[places[low] : places[high] - 1] if low < high else b""
    rest = json.dumps({"room": room, "offset": number}, separators=(",", ":")).encode()
    return b'{"items":[' + cut + b"]," + rest[1:]


def _microseconds(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND
