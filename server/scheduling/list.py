"""The public list of a doctor's slots, and the room that keeps it true."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import DoctorId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.events import SLOTS
from server.scheduling.models import ListSlots, PublicSlot, SlotList

USUAL = timedelta(days=7)
LONGEST = timedelta(days=31)


async def list_slots(tx: Tx, ask: ListSlots, *, settings: Settings) -> SlotList:
    """All slots, free and booked, that begin in the asked time and can still be booked, soonest first; never cut.

    `offset` is the room's number in the same snapshot. Raises Invalid over 31 days, NotFound for an unlisted doctor.
    """
    begin = ask.from_time or tx.now
    end = ask.to_time or begin + USUAL
    if end <= begin:
        raise Invalid(errors=[FieldError(field="to", code="order", message="`to` must be after `from`.")])
    if end - begin > LONGEST:
        raise Invalid(errors=[FieldError(field="to", code="too-long", message="At most 31 days at a time.")])
    room = SLOTS.of(doctor_id=ask.id)
    found = await queries.slots_between(tx, ask.id, max(begin, bookable_from(tx.now, settings)), end, room)
    if found is None:
        raise NotFound
    offset, items = found
    return SlotList(items=items, room=room, offset=offset)


async def next_free_slots(tx: Tx, doctor_id: DoctorId, after: datetime, limit: int = 5) -> list[PublicSlot]:
    """The next free slots of a doctor that begin after `after`, soonest first."""
    return await queries.next_free(tx, doctor_id, after, limit)


def bookable_from(now: datetime, settings: Settings) -> datetime:
    """A slot must begin after this moment to be booked: the minimum notice."""
    return now + timedelta(minutes=settings.lead)
