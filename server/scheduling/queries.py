"""All SQL of scheduling: slots, weekly hours, leave, waitlist, and the calendar's columns of a doctor's row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from asyncpg import Record

from server.core.ids import ConsultationId, DoctorId, PatientId, SlotId, new_id
from server.core.tx import Tx
from server.scheduling.models import PublicSlot, Slot, Wish
from server.scheduling.slots import Span, Window

# Numbers and slots in one statement, so also in one snapshot where the transaction is READ COMMITTED.
LIST_SLOTS = """
    select coalesce((select seq from rooms where name = $4), 0) as seq, d.id as doctor, s.id, s.doctor_id,
           s.start_time, s.end_time, s.status, s.version
      from doctors d
      left join availability_slots s on s.doctor_id = d.id and s.start_time >= $2 and s.start_time < $3
           and s.start_time <= $5::timestamptz + make_interval(days => d.horizon_days)
     where d.id = $1 and d.verified_at is not null
     order by s.start_time, s.id
"""
NEXT_FREE_SLOTS = """
    select id, doctor_id, start_time, end_time, status, version
      from availability_slots
     where doctor_id = $1 and status = 'AVAILABLE' and start_time > $2
     order by start_time limit $3
"""
READ_SLOT = """
    select id, doctor_id, start_time, end_time, status, version, fee_minor, currency, consultation_id
      from availability_slots where id = $1
"""
# The condition is the proof that no slot is booked twice: of any number at once, one finds it AVAILABLE.
TAKE_SLOT = """
    update availability_slots
       set status = 'BOOKED', consultation_id = $2, patient_n = $3, version = version + 1
     where id = $1 and status = 'AVAILABLE' and start_time > $4
    returning id, doctor_id, start_time, end_time, status, version, fee_minor, currency, consultation_id
"""
FREE_SLOT = """
    update availability_slots s
       set status = 'AVAILABLE', consultation_id = null, patient_n = null, version = version + 1
     where id = $1 and consultation_id = $2 and start_time > $3
    returning id, doctor_id, start_time, end_time, status, version,
              exists (select 1 from leave l where l.doctor_id = s.doctor_id
                                              and l.starts_at < s.end_time and l.ends_at > s.start_time) as on_leave
"""
WITHDRAW_SLOTS = """
    delete from availability_slots where id = any($1) and status = 'AVAILABLE'
    returning id, doctor_id, start_time, end_time, status, version
"""
# A day's grace: who has the page of a slot that went by is told so, and not that it never was.
FORGET_PAST = """
    delete from availability_slots
     where doctor_id = $1 and status = 'AVAILABLE' and start_time < $2::timestamptz - interval '1 day'
"""
# NO KEY UPDATE: two that make slots of one doctor take turns; a booking's foreign keys do not wait for them.
CALENDAR = """
    select n, time_zone, slot_minutes, buffer_minutes, fee_minor, currency
      from doctors where id = $1 for no key update
"""
READ_CALENDAR = "select n, time_zone, slot_minutes, buffer_minutes, fee_minor, currency from doctors where id = $1"
SET_CALENDAR = "update doctors set time_zone = $2, slot_minutes = $3, buffer_minutes = $4 where id = $1"
WEEK = "select weekday, from_minute, to_minute from weekly_hours where doctor_id = $1 order by weekday, from_minute"
FORGET_WEEK = "delete from weekly_hours where doctor_id = $1"
ADD_HOURS = """
    insert into weekly_hours (id, doctor_id, weekday, from_minute, to_minute)
    select id, $1, weekday, from_minute, to_minute
      from unnest($2::uuid[], $3::int[], $4::int[], $5::int[]) as w (id, weekday, from_minute, to_minute)
"""
LEAVE = "select starts_at, ends_at from leave where doctor_id = $1 and ends_at > $2"
ADD_LEAVE = "insert into leave (id, doctor_id, starts_at, ends_at, created_at) values ($1, $2, $3, $4, $5)"
FUTURE_SLOTS = """
    select id, start_time, end_time, status from availability_slots where doctor_id = $1 and end_time > $2
"""
# ON CONFLICT without a target covers the exclusion constraint too: what overlaps a slot that was booked since the
# times were computed is skipped, never an error.
ADD_SLOTS = """
    insert into availability_slots (id, doctor_id, doctor_n, start_time, end_time, fee_minor, currency)
    select id, $1, $2, start_time, end_time, $3, $4
      from unnest($5::uuid[], $6::timestamptz[], $7::timestamptz[]) as s (id, start_time, end_time)
    on conflict do nothing
    returning id, doctor_id, start_time, end_time, status, version
"""
SLOTS_INSIDE = """
    select id, status from availability_slots
     where doctor_id = $1 and start_time < $3 and end_time > $2 and end_time > $4
"""
DOCTORS_BEHIND = """
    select d.id
      from doctors d
     where d.verified_at is not null and exists (select 1 from weekly_hours w where w.doctor_id = d.id)
       and coalesce((select max(s.start_time) from availability_slots s where s.doctor_id = d.id), '-infinity') < $1
"""
JOIN_WAITLIST = """
    insert into waitlist (id, patient_id, doctor_id, wanted_from, wanted_to, created_at)
    select $1, $2, d.id, $4, $5, $6 from doctors d where d.id = $3 and d.verified_at is not null
    returning id, doctor_id, wanted_from, wanted_to, offered_slot_id, offered_until, closed_at
"""
WISHES = """
    select id, doctor_id, wanted_from, wanted_to, offered_slot_id, offered_until, closed_at
      from waitlist where patient_id = $1 and closed_at is null and wanted_to > $2 order by created_at, id
"""


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a doctor's slots are cut, and what new ones cost."""

    n: int
    time_zone: str
    slot_minutes: int
    buffer_minutes: int
    fee_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class StandingSlot:
    """A slot that exists already."""

    id: SlotId
    span: Span
    booked: bool


def public(row: Record) -> PublicSlot:
    """The slot of a row, as everybody may see it."""
    return PublicSlot(
        id=row["id"],
        doctor_id=row["doctor_id"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        status=row["status"],
        version=row["version"],
    )


def _slot(row: Record) -> Slot:
    return Slot.model_validate({name: value for name, value in row.items() if name in Slot.model_fields})


async def slots_between(
    tx: Tx, doctor_id: DoctorId, first: datetime, last: datetime, room: str
) -> tuple[int, list[PublicSlot]] | None:
    """The room's number and the slots from `first` to `last`; None without such a listed doctor."""
    rows = await tx.conn.fetch(LIST_SLOTS, doctor_id, first, last, room, tx.now)
    if not rows:
        return None
    return cast(int, rows[0]["seq"]), [public(row) for row in rows if row["id"] is not None]


async def next_free(tx: Tx, doctor_id: DoctorId, after: datetime, limit: int) -> list[PublicSlot]:
    """Free slots that begin after `after`, soonest first."""
    return [public(row) for row in await tx.conn.fetch(NEXT_FREE_SLOTS, doctor_id, after, limit)]


async def read_slot(tx: Tx, slot_id: SlotId) -> Slot | None:
    """One slot as it is, or None."""
    row = await tx.conn.fetchrow(READ_SLOT, slot_id)
    return _slot(row) if row else None


async def take(
    tx: Tx, slot_id: SlotId, consultation_id: ConsultationId, patient_n: int, earliest: datetime
) -> Slot | None:
    """Mark a free slot that begins after `earliest` as booked; None if it is neither."""
    row = await tx.conn.fetchrow(TAKE_SLOT, slot_id, consultation_id, patient_n, earliest)
    return _slot(row) if row else None


async def free(tx: Tx, slot_id: SlotId, consultation_id: ConsultationId) -> tuple[PublicSlot, bool] | None:
    """Give a future slot back; whether its doctor is on leave then. None if the consultation does not hold it."""
    row = await tx.conn.fetchrow(FREE_SLOT, slot_id, consultation_id, tx.now)
    return (public(row), cast(bool, row["on_leave"])) if row else None


async def withdraw(tx: Tx, slot_ids: Sequence[SlotId]) -> list[PublicSlot]:
    """Take free slots out of the calendar; what was booked meanwhile stays."""
    return [public(row) for row in await tx.conn.fetch(WITHDRAW_SLOTS, list(slot_ids))] if slot_ids else []


async def calendar(tx: Tx, doctor_id: DoctorId, *, locked: bool) -> Calendar | None:
    """A doctor's calendar; locked against another that makes slots."""
    row = await tx.conn.fetchrow(CALENDAR if locked else READ_CALENDAR, doctor_id)
    return Calendar(**dict(row)) if row else None


async def set_calendar(tx: Tx, doctor_id: DoctorId, zone: str, slot_minutes: int, buffer_minutes: int) -> None:
    """Keep the zone and lengths. They stand in the doctor's row, but only hours change them."""
    await tx.conn.execute(SET_CALENDAR, doctor_id, zone, slot_minutes, buffer_minutes)


async def week(tx: Tx, doctor_id: DoctorId) -> list[Window]:
    """A doctor's weekly hours."""
    return [Window(**dict(row)) for row in await tx.conn.fetch(WEEK, doctor_id)]


async def replace_week(tx: Tx, doctor_id: DoctorId, weekly: Sequence[Window]) -> None:
    """Put these hours in the place of all that were."""
    await tx.conn.execute(FORGET_WEEK, doctor_id)
    await tx.conn.execute(
        ADD_HOURS,
        doctor_id,
        [new_id(tx.now) for _ in weekly],
        [window.weekday for window in weekly],
        [window.from_minute for window in weekly],
        [window.to_minute for window in weekly],
    )


async def leave_after(tx: Tx, doctor_id: DoctorId, after: datetime) -> list[Span]:
    """Leave that has not ended."""
    return [Span(row["starts_at"], row["ends_at"]) for row in await tx.conn.fetch(LEAVE, doctor_id, after)]


async def add_leave(tx: Tx, leave_id: UUID, doctor_id: DoctorId, span: Span) -> None:
    """Keep leave."""
    await tx.conn.execute(ADD_LEAVE, leave_id, doctor_id, span.start, span.end, tx.now)


async def standing_slots(tx: Tx, doctor_id: DoctorId) -> list[StandingSlot]:
    """Slots of now and later."""
    rows = await tx.conn.fetch(FUTURE_SLOTS, doctor_id, tx.now)
    return [StandingSlot(r["id"], Span(r["start_time"], r["end_time"]), r["status"] == "BOOKED") for r in rows]


async def add_slots(tx: Tx, doctor_id: DoctorId, of: Calendar, spans: Sequence[Span]) -> list[PublicSlot]:
    """Add free slots in one statement; those that overlap another slot are skipped."""
    if not spans:
        return []
    rows = await tx.conn.fetch(
        ADD_SLOTS,
        doctor_id,
        of.n,
        of.fee_minor,
        of.currency,
        [new_id(tx.now) for _ in spans],
        [span.start for span in spans],
        [span.end for span in spans],
    )
    return [public(row) for row in rows]


async def forget_past(tx: Tx, doctor_id: DoctorId) -> None:
    """Remove free slots that began more than a day ago."""
    await tx.conn.execute(FORGET_PAST, doctor_id, tx.now)


async def slots_inside(tx: Tx, doctor_id: DoctorId, span: Span) -> tuple[list[SlotId], int]:
    """The free slots that touch a span of time, and how many booked ones do."""
    rows = await tx.conn.fetch(SLOTS_INSIDE, doctor_id, span.start, span.end, tx.now)
    free_ones: list[SlotId] = [row["id"] for row in rows if row["status"] == "AVAILABLE"]
    return free_ones, len(rows) - len(free_ones)


async def doctors_behind(tx: Tx, until: datetime) -> list[DoctorId]:
    """Listed doctors with hours whose slots end before `until`."""
    return [row["id"] for row in await tx.conn.fetch(DOCTORS_BEHIND, until)]


def _wish(row: Record) -> Wish:
    return Wish(
        id=row["id"],
        doctor_id=row["doctor_id"],
        from_time=row["wanted_from"],
        to_time=row["wanted_to"],
        offered_slot_id=row["offered_slot_id"],
        offered_until=row["offered_until"],
        closed_at=row["closed_at"],
    )


async def join(
    tx: Tx, wish_id: UUID, patient_id: PatientId, doctor_id: DoctorId, first: datetime, last: datetime
) -> Wish | None:
    """Keep a wish; None without such a listed doctor."""
    row = await tx.conn.fetchrow(JOIN_WAITLIST, wish_id, patient_id, doctor_id, first, last, tx.now)
    return _wish(row) if row else None


async def open_wishes(tx: Tx, patient_id: PatientId) -> list[Wish]:
    """A patient's wishes that can still come true."""
    return [_wish(row) for row in await tx.conn.fetch(WISHES, patient_id, tx.now)]
