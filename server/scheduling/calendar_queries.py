"""SQL of a doctor's calendar: its columns of the doctor's row, weekly and extra hours, leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast
from uuid import UUID

from server.core.ids import DoctorId, new_id
from server.core.tx import Tx
from server.scheduling.models import Stretch
from server.scheduling.slots import Span, Window

FIELDS = """
    n, time_zone, slot_minutes, buffer_minutes, lead_minutes, horizon_days, daily_limit, fee_minor, currency
"""
# NO KEY UPDATE: two that make slots of one doctor take turns; a booking's foreign keys do not wait for them.
CALENDAR = f"select {FIELDS} from doctors where id = $1 for no key update"  # noqa: S608 - constants
READ_CALENDAR = f"select {FIELDS} from doctors where id = $1"  # noqa: S608 - constants
LEADS = "select id, lead_minutes from doctors where id = any($1)"
SET_CALENDAR = """
    update doctors
       set time_zone = $2, slot_minutes = $3, buffer_minutes = $4, lead_minutes = $5, horizon_days = $6,
           daily_limit = $7
     where id = $1
"""
WEEK = "select weekday, from_minute, to_minute from weekly_hours where doctor_id = $1 order by weekday, from_minute"
FORGET_WEEK = "delete from weekly_hours where doctor_id = $1"
ADD_HOURS = """
    insert into weekly_hours (id, doctor_id, weekday, from_minute, to_minute)
    select id, $1, weekday, from_minute, to_minute
      from unnest($2::uuid[], $3::int[], $4::int[], $5::int[]) as w (id, weekday, from_minute, to_minute)
"""
LEAVE = """
    select id, starts_at, ends_at from leave where doctor_id = $1 and ends_at > $2 order by starts_at, id
"""
SAME_LEAVE = "select id from leave where doctor_id = $1 and starts_at = $2 and ends_at = $3 limit 1"
ADD_LEAVE = "insert into leave (id, doctor_id, starts_at, ends_at, created_at) values ($1, $2, $3, $4, $5)"
END_LEAVE = "delete from leave where doctor_id = $1 and id = $2 returning id, starts_at, ends_at"
EXTRA = """
    select id, starts_at, ends_at from extra_hours where doctor_id = $1 and ends_at > $2 order by starts_at, id
"""
ADD_EXTRA = "insert into extra_hours (id, doctor_id, starts_at, ends_at, created_at) values ($1, $2, $3, $4, $5)"
END_EXTRA = "delete from extra_hours where doctor_id = $1 and id = $2 returning id, starts_at, ends_at"
# Doctors of whom there may be slots to make: those with a week, and those with extra hours to come.
DOCTORS_BEHIND = """
    select d.id
      from doctors d
     where d.verified_at is not null
       and (exists (select 1 from weekly_hours w where w.doctor_id = d.id)
            or exists (select 1 from extra_hours e where e.doctor_id = d.id and e.ends_at > $2))
       and coalesce((select max(s.start_time) from availability_slots s where s.doctor_id = d.id), '-infinity') < $1
"""
# A doctor's local day. Two that look whether it is full take turns.
DAY = """
    select day at time zone time_zone as begins, (day + interval '1 day') at time zone time_zone as ends, daily_limit
      from doctors, date_trunc('day', $2::timestamptz at time zone time_zone) as day
     where id = $1
"""
HOLD_DAY = "select pg_advisory_xact_lock(hashtextextended('day|' || $1::text || '|' || $2::text, 0))"


@dataclass(frozen=True, slots=True)
class Calendar:
    """How a doctor's slots are cut, by which rules they are booked, and what new ones cost."""

    n: int
    time_zone: str
    slot_minutes: int
    buffer_minutes: int
    lead_minutes: int
    horizon_days: int
    daily_limit: int | None
    fee_minor: int
    currency: str


async def calendar(tx: Tx, doctor_id: DoctorId, *, locked: bool) -> Calendar | None:
    """A doctor's calendar; locked against another that makes slots."""
    row = await tx.conn.fetchrow(CALENDAR if locked else READ_CALENDAR, doctor_id)
    return Calendar(**dict(row)) if row else None


async def leads(tx: Tx, doctor_ids: Sequence[DoctorId]) -> dict[DoctorId, int]:
    """The notice of each of these doctors, in minutes."""
    return {row["id"]: row["lead_minutes"] for row in await tx.conn.fetch(LEADS, list(doctor_ids))}


async def set_calendar(tx: Tx, doctor_id: DoctorId, is_now: Calendar) -> None:
    """Keep zone, lengths and rules. They stand in the doctor's row, but only hours change them."""
    await tx.conn.execute(
        SET_CALENDAR,
        doctor_id,
        is_now.time_zone,
        is_now.slot_minutes,
        is_now.buffer_minutes,
        is_now.lead_minutes,
        is_now.horizon_days,
        is_now.daily_limit,
    )


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


async def leave_after(tx: Tx, doctor_id: DoctorId, after: datetime) -> list[Stretch]:
    """Leave that ends after `after`, soonest first."""
    rows = await tx.conn.fetch(LEAVE, doctor_id, after)
    return [Stretch(id=row["id"], from_time=row["starts_at"], to_time=row["ends_at"]) for row in rows]


async def same_leave(tx: Tx, doctor_id: DoctorId, span: Span) -> UUID | None:
    """The leave of exactly this time that there is already."""
    return cast("UUID | None", await tx.conn.fetchval(SAME_LEAVE, doctor_id, span.start, span.end))


async def add_leave(tx: Tx, leave_id: UUID, doctor_id: DoctorId, span: Span) -> None:
    """Keep leave."""
    await tx.conn.execute(ADD_LEAVE, leave_id, doctor_id, span.start, span.end, tx.now)


async def end_leave(tx: Tx, doctor_id: DoctorId, leave_id: UUID) -> Span | None:
    """Forget leave; its time, or None if there is no such leave of this doctor."""
    row = await tx.conn.fetchrow(END_LEAVE, doctor_id, leave_id)
    return Span(row["starts_at"], row["ends_at"]) if row else None


async def extra_after(tx: Tx, doctor_id: DoctorId, after: datetime) -> list[Stretch]:
    """Extra hours that end after `after`, soonest first."""
    rows = await tx.conn.fetch(EXTRA, doctor_id, after)
    return [Stretch(id=row["id"], from_time=row["starts_at"], to_time=row["ends_at"]) for row in rows]


async def add_extra(tx: Tx, extra_id: UUID, doctor_id: DoctorId, span: Span) -> None:
    """Keep extra hours."""
    await tx.conn.execute(ADD_EXTRA, extra_id, doctor_id, span.start, span.end, tx.now)


async def end_extra(tx: Tx, doctor_id: DoctorId, extra_id: UUID) -> Span | None:
    """Forget extra hours; their time, or None if this doctor has no such hours."""
    row = await tx.conn.fetchrow(END_EXTRA, doctor_id, extra_id)
    return Span(row["starts_at"], row["ends_at"]) if row else None


async def doctors_behind(tx: Tx, until: datetime) -> list[DoctorId]:
    """Listed doctors with hours whose slots end before `until`."""
    return [row["id"] for row in await tx.conn.fetch(DOCTORS_BEHIND, until, tx.now)]


async def day_of(tx: Tx, doctor_id: DoctorId, at: datetime) -> tuple[Span, int | None]:
    """The doctor's local day that `at` lies in, and how many consultations it may have."""
    row = await tx.conn.fetchrow(DAY, doctor_id, at)
    assert row is not None
    return Span(row["begins"], row["ends"]), row["daily_limit"]


async def hold_day(tx: Tx, doctor_id: DoctorId, day: Span) -> None:
    """Wait until nobody else fills this day, and keep it until the transaction ends."""
    await tx.conn.execute(HOLD_DAY, str(doctor_id), day.start.isoformat())
