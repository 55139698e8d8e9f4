"""The rules that a slot is booked by: the longer notice, the horizon, and how many a day its doctor takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from server.core.errors import NotFound
from server.core.ids import DoctorId, SlotId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import calendar_queries, queries
from server.scheduling.events import SlotChanged
from server.scheduling.models import PublicSlot, SlotStatus
from server.scheduling.slots import Span

# A list shows at most this many days: what lies beyond is found in it when the days get there.
WATCHED = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class Bookable:
    """A slot can be booked that begins after `after`, at the latest at `until`."""

    after: datetime
    until: datetime


def bookable_from(now: datetime, settings: Settings) -> datetime:
    """A slot of any doctor must begin after this moment to be booked: the house's minimum notice."""
    return now + timedelta(minutes=settings.lead)


async def notices(tx: Tx, doctor_ids: Sequence[DoctorId], *, settings: Settings) -> dict[DoctorId, int]:
    """How many minutes before its beginning a slot can be booked at the latest, by doctor."""
    return {
        doctor_id: max(settings.lead, lead)
        for doctor_id, lead in (await calendar_queries.leads(tx, doctor_ids)).items()
    }


async def bookable(tx: Tx, doctor_id: DoctorId, *, settings: Settings) -> Bookable:
    """From when until when a doctor can be booked now. Raises NotFound."""
    rules = await calendar_queries.calendar(tx, doctor_id, locked=False)
    if rules is None:
        raise NotFound
    return Bookable(
        after=tx.now + timedelta(minutes=max(settings.lead, rules.lead_minutes)),
        until=tx.now + timedelta(days=rules.horizon_days),
    )


async def day_is_full(tx: Tx, doctor_id: DoctorId, at: datetime) -> bool:
    """Whether the doctor takes nobody more on the local day of `at`.

    Who asks has the day to themselves until the transaction ends, so of two that take its last place one does. For a
    doctor without a limit nothing is held.
    """
    day, limit = await calendar_queries.day_of(tx, doctor_id, at)
    if limit is None:
        return False
    await calendar_queries.hold_day(tx, doctor_id, day)
    return await queries.booked_between(tx, doctor_id, day) >= limit


async def takes_place(tx: Tx, doctor_id: DoctorId, slot_id: SlotId, at: datetime) -> bool:
    """Before a slot is taken in this transaction: whether its day has a place; tells the day's others with its last."""
    day, limit = await calendar_queries.day_of(tx, doctor_id, at)
    if limit is None:
        return True
    await calendar_queries.hold_day(tx, doctor_id, day)
    booked = await queries.booked_between(tx, doctor_id, day)
    if booked == limit - 1:
        _tell(tx, [slot for slot in await queries.slots_of_day(tx, doctor_id, day) if slot.id != slot_id], full=True)
    return booked < limit


async def tell_if_filled(tx: Tx, doctor_id: DoctorId, at: datetime) -> None:
    """After a slot was taken: where its day is full now, tell its free slots as BOOKED, since nobody can book them."""
    day, limit = await calendar_queries.day_of(tx, doctor_id, at)
    if limit is not None and await queries.booked_between(tx, doctor_id, day) == limit:
        _tell(tx, await queries.slots_of_day(tx, doctor_id, day), full=True)


async def tell_freed(tx: Tx, slot: PublicSlot) -> None:
    """Tell a slot that was given back, and where its day was full until now, the day's other free ones with it."""
    day, limit = await calendar_queries.day_of(tx, slot.doctor_id, slot.start_time)
    booked = 0 if limit is None else await queries.booked_between(tx, slot.doctor_id, day)
    if limit is not None and booked == limit - 1:
        _tell(tx, await queries.slots_of_day(tx, slot.doctor_id, day), full=False)
    else:
        _tell(tx, [slot], full=limit is not None and booked >= limit)


async def tell_days(tx: Tx, doctor_id: DoctorId, was_limit: int | None) -> None:
    """After hours, leave or the limit changed: tell the free slots of the days that the limit closes or closed."""
    calendar = await calendar_queries.calendar(tx, doctor_id, locked=False)
    limit = calendar.daily_limit if calendar else None
    least = min((number for number in (limit, was_limit) if number is not None), default=None)
    if calendar is None or least is None:
        return
    zone = ZoneInfo(calendar.time_zone)
    days: dict[date, list[PublicSlot]] = defaultdict(list)
    midnight = datetime.combine(tx.now.astimezone(zone).date(), time(), zone)
    for found in await queries.slots_inside(tx, doctor_id, Span(midnight, tx.now + WATCHED), midnight):
        days[found.start_time.astimezone(zone).date()].append(found.public())
    for slots in days.values():
        booked = sum(slot.status is SlotStatus.BOOKED for slot in slots)
        if booked >= least:
            coming = [slot for slot in slots if slot.start_time > tx.now]
            _tell(tx, coming, full=limit is not None and booked >= limit)


def _tell(tx: Tx, slots: Iterable[PublicSlot], *, full: bool) -> None:
    for slot in slots:
        if slot.status is SlotStatus.AVAILABLE:
            told = slot.model_copy(update={"status": SlotStatus.BOOKED}) if full else slot
            tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=told))
