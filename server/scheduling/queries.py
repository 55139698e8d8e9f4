"""SQL of scheduling: slots. Hours, leave and rules are in calendar_queries, the waitlist in waitlist_queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from asyncpg import Record

from server.core.batches import Statement
from server.core.ids import ConsultationId, DoctorId, SlotId, new_id
from server.core.tx import Tx
from server.scheduling.calendar_queries import Calendar
from server.scheduling.models import PublicSlot, Slot
from server.scheduling.slots import Span

# The days, by the doctor's clock, on which this doctor takes nobody more. No row of a doctor without a limit is read.
FULL_DAYS = """
    with full_days as materialized (
        select date_trunc('day', b.start_time at time zone d.time_zone) as day
          from doctors d
          join availability_slots b on b.doctor_id = d.id and b.status = 'BOOKED'
               and b.start_time > $2::timestamptz - interval '25 hours'
         where d.id = $1 and d.daily_limit is not null
         group by 1, d.daily_limit having count(*) >= d.daily_limit
    )
"""
DAY_IS_FULL = """
    (d.daily_limit is not null
     and date_trunc('day', s.start_time at time zone d.time_zone) in (select day from full_days))
"""
# Numbers and slots in one statement, so also in one snapshot where the transaction is READ COMMITTED. A free slot of a
# full day is told as BOOKED: nobody can book it. So is one that is kept for somebody who waits.
_LISTED = f"""
    {FULL_DAYS}
    select coalesce((select seq from rooms where name = $4), 0) as seq, d.id as doctor, d.lead_minutes, d.horizon_days,
           s.id, s.doctor_id, s.start_time, s.end_time, s.version,
           case when {DAY_IS_FULL} or s.offered_until > $5 then 'BOOKED' else s.status end as status,
           case when s.status = 'AVAILABLE' and s.offered_until > $5 then s.offered_until end as kept_until
      from doctors d
      left join availability_slots s on s.doctor_id = d.id and s.start_time >= $2 and s.start_time < $3
"""  # noqa: S608 - constants
_SOONEST_FIRST = " where d.id = $1 and d.verified_at is not null order by s.start_time, s.id"
# One row, without a slot, where the slots are those whose print the caller knows.
ALL_SLOTS = f"""
    with listed as materialized ({_LISTED}{_SOONEST_FIRST}),
         printed as (
             select bit_xor(hash_record_extended(row(id, start_time, end_time, version, status), 0)) as print,
                    min(kept_until) as true_until
               from listed)
    select printed.print, printed.true_until, l.seq, l.lead_minutes, l.horizon_days,
           l.id, l.doctor_id, l.start_time, l.end_time, l.version, l.status
      from printed
      join lateral (select * from listed
                     limit case when printed.print is not distinct from $6 then 1 end) l on true
     order by l.start_time, l.id
"""  # noqa: S608 - constants
LIST_SLOTS = f"""
    {_LISTED}
           and s.start_time > $5::timestamptz + make_interval(mins => d.lead_minutes)
           and s.start_time <= $5::timestamptz + make_interval(days => d.horizon_days)
    {_SOONEST_FIRST}
"""
NEXT_FREE_SLOTS = Statement(
    f"""
    select w.caller, found.*
      from unnest($1::uuid[], $2::timestamptz[], $3::int[], $4::timestamptz[])
           with ordinality as w (doctor_id, after, most, now, caller)
     cross join lateral (
        {FULL_DAYS.replace("$1", "w.doctor_id").replace("$2", "w.after")}
        select s.id, s.doctor_id, s.start_time, s.end_time, s.status, s.version
          from doctors d
          join availability_slots s on s.doctor_id = d.id
         where d.id = w.doctor_id and s.status = 'AVAILABLE' and s.start_time > w.after
           and s.start_time > w.now + make_interval(mins => d.lead_minutes)
           and s.start_time <= w.now + make_interval(days => d.horizon_days)
           and not {DAY_IS_FULL} and (s.offered_until is null or s.offered_until <= w.now)
         order by s.start_time limit w.most
     ) found
     order by w.caller, found.start_time
""",  # noqa: S608 - constants
    shared=True,
)
# Kept for somebody who waits: to everybody else it is booked.
READ_SLOT = """
    select id, doctor_id, start_time, end_time, version, consultation_id,
           case when offered_until > $2 and offered_n is distinct from $3 then 'BOOKED' else status end as status
      from availability_slots where id = $1
"""
# The condition is the proof that no slot is booked twice: of any number at once, one finds it AVAILABLE.
TAKE_SLOT = """
    update availability_slots
       set status = 'BOOKED', consultation_id = $2, patient_n = $3, version = version + 1
     where id = $1 and status = 'AVAILABLE' and start_time > $4
    returning id, doctor_id, start_time, end_time, status, version, consultation_id
"""
FREE_SLOT = """
    update availability_slots
       set status = 'AVAILABLE', consultation_id = null, patient_n = null, version = version + 1
     where id = $1 and consultation_id = $2 and start_time > $3
    returning id, doctor_id, start_time, end_time, status, version
"""
LEAVE_SLOT = """
    update availability_slots
       set status = 'AVAILABLE', consultation_id = null, patient_n = null, version = version + 1
     where id = $1 and consultation_id = $2
    returning id, doctor_id, start_time, end_time, status, version
"""
WITHDRAW_SLOTS = """
    delete from availability_slots where id = any($1) and status = 'AVAILABLE'
    returning id, doctor_id, start_time, end_time, status, version
"""
FIRST_FREE = """
    select id, doctor_id, start_time, end_time, status, version
      from availability_slots
     where doctor_id = $1 and status = 'AVAILABLE' and start_time > $2 and start_time < $3
       and (offered_until is null or offered_until <= $2)
     order by start_time limit 1
"""
WITHDRAW_UNKEPT = """
    delete from availability_slots
     where id = any($1) and status = 'AVAILABLE' and (offered_until is null or offered_until <= $2)
    returning id, doctor_id, start_time, end_time, status, version
"""
# A day's grace: who has the page of a slot that went by is told so, and not that it never was.
FORGET_PAST = """
    delete from availability_slots
     where id in (select id from availability_slots
                   where status = 'AVAILABLE' and start_time < $1::timestamptz - interval '1 day'
                   order by start_time limit $2)
       and status = 'AVAILABLE'
"""
FUTURE_SLOTS = """
    select id, start_time, end_time, consultation_id
      from availability_slots where doctor_id = $1 and end_time > $2 order by start_time
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
# Slots are at most four hours long: those that touch a time begin at most so long before it.
SLOTS_INSIDE = """
    select id, doctor_id, start_time, end_time, status, version, consultation_id
      from availability_slots
     where doctor_id = $1 and start_time < $3 and end_time > $2
       and start_time > $2::timestamptz - interval '1 day' and end_time > $4
     order by start_time
"""
DAY_OF_SLOTS = """
    select id, doctor_id, start_time, end_time, status, version
      from availability_slots
     where doctor_id = $1 and start_time >= $2 and start_time < $3 and start_time > $4
       and (offered_until is null or offered_until <= $4)
     order by start_time
"""
BOOKED_BETWEEN = """
    select count(*) from availability_slots
     where doctor_id = $1 and start_time >= $2 and start_time < $3 and status = 'BOOKED'
"""


@dataclass(frozen=True, slots=True)
class StandingSlot:
    """A slot that exists already."""

    id: SlotId
    span: Span
    consultation_id: ConsultationId | None

    @property
    def booked(self) -> bool:
        """Whether somebody holds it."""
        return self.consultation_id is not None


@dataclass(frozen=True, slots=True)
class SlotsOfDays:
    """All slots of some days, and what decides at any moment which of them are shown.

    `true_until` is when the first slot that is kept for somebody comes free without a word. `print` tells these slots
    from any others; `slots` is None where the caller knows it.
    """

    room_number: int
    lead_minutes: int
    horizon_days: int
    true_until: datetime | None
    print: int
    slots: list[PublicSlot] | None


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


async def all_slots_between(
    tx: Tx, doctor_id: DoctorId, first: datetime, last: datetime, room: str, known_print: int | None
) -> SlotsOfDays | None:
    """The same with what has begun, or cannot be booked yet, and the rules that say so; None without such a doctor."""
    rows = await tx.conn.fetch(ALL_SLOTS, doctor_id, first, last, room, tx.now, known_print)
    if not rows:
        return None
    head = rows[0]
    is_known = known_print is not None and head["print"] == known_print
    return SlotsOfDays(
        room_number=head["seq"],
        lead_minutes=head["lead_minutes"],
        horizon_days=head["horizon_days"],
        true_until=head["true_until"],
        print=head["print"],
        slots=None if is_known else [public(row) for row in rows if row["id"] is not None],
    )


async def next_free(tx: Tx, doctor_id: DoctorId, after: datetime, limit: int) -> list[PublicSlot]:
    """Free slots that begin after `after` and can be booked by the doctor's rules, soonest first.

    By the minute, as slots begin: so the many who are refused one slot at one moment ask the same, and it is read once.
    """
    wish = (doctor_id, _minute(after), limit, _minute(tx.now))
    return [public(row) for row in await tx.ask(NEXT_FREE_SLOTS, wish)]


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


async def read_slot(tx: Tx, slot_id: SlotId) -> Slot | None:
    """One slot as it is, or None."""
    row = await tx.conn.fetchrow(READ_SLOT, slot_id, tx.now, tx.actor.patient_n)
    return _slot(row) if row else None


async def take(
    tx: Tx, slot_id: SlotId, consultation_id: ConsultationId, patient_n: int, earliest: datetime
) -> Slot | None:
    """Mark a free slot that begins after `earliest` as booked; None if it is neither."""
    row = await tx.conn.fetchrow(TAKE_SLOT, slot_id, consultation_id, patient_n, earliest)
    return _slot(row) if row else None


async def free(tx: Tx, slot_id: SlotId, consultation_id: ConsultationId) -> PublicSlot | None:
    """Give a future slot back; None if the consultation does not hold it."""
    row = await tx.conn.fetchrow(FREE_SLOT, slot_id, consultation_id, tx.now)
    return public(row) if row else None


async def leave(tx: Tx, slot_id: SlotId, consultation_id: ConsultationId) -> PublicSlot | None:
    """Take a consultation off its slot, also one that has begun. None if it does not hold it."""
    row = await tx.conn.fetchrow(LEAVE_SLOT, slot_id, consultation_id)
    return public(row) if row else None


async def withdraw(tx: Tx, slot_ids: Sequence[SlotId]) -> list[PublicSlot]:
    """Take free slots out of the calendar; what was booked meanwhile stays."""
    return [public(row) for row in await tx.conn.fetch(WITHDRAW_SLOTS, list(slot_ids))] if slot_ids else []


async def first_free(tx: Tx, doctor_id: DoctorId, before: datetime) -> PublicSlot | None:
    """The next free slot that begins before a moment, whatever notice the doctor asks; None without one."""
    row = await tx.conn.fetchrow(FIRST_FREE, doctor_id, tx.now, before)
    return public(row) if row else None


async def withdraw_unkept(tx: Tx, slot_ids: Sequence[SlotId]) -> list[PublicSlot]:
    """Take free slots out of the calendar, but those that are kept for somebody who waits."""
    return [public(row) for row in await tx.conn.fetch(WITHDRAW_UNKEPT, list(slot_ids), tx.now)] if slot_ids else []


async def standing_slots(tx: Tx, doctor_id: DoctorId) -> list[StandingSlot]:
    """Slots of now and later."""
    rows = await tx.conn.fetch(FUTURE_SLOTS, doctor_id, tx.now)
    return [StandingSlot(r["id"], Span(r["start_time"], r["end_time"]), r["consultation_id"]) for r in rows]


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


async def forget_past(tx: Tx, most: int) -> int:
    """Remove free slots, of whichever doctor, that began more than a day ago; how many went."""
    return int((await tx.conn.execute(FORGET_PAST, tx.now, most)).rpartition(" ")[2])


async def slots_inside(tx: Tx, doctor_id: DoctorId, span: Span, not_over_at: datetime) -> list[Slot]:
    """The slots that touch a span of time and end after a moment, soonest first."""
    return [_slot(row) for row in await tx.conn.fetch(SLOTS_INSIDE, doctor_id, span.start, span.end, not_over_at)]


async def slots_of_day(tx: Tx, doctor_id: DoctorId, day: Span) -> list[PublicSlot]:
    """A day's slots that have not begun."""
    return [public(row) for row in await tx.conn.fetch(DAY_OF_SLOTS, doctor_id, day.start, day.end, tx.now)]


async def booked_between(tx: Tx, doctor_id: DoctorId, day: Span) -> int:
    """How many slots that begin in a span are booked."""
    count: int = await tx.conn.fetchval(BOOKED_BETWEEN, doctor_id, day.start, day.end)
    return count
