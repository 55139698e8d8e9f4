"""SQL of lists of consultations: a patient's, a doctor's, everybody's.

Plans are made once and not for the values of a call, so whose list it is stands in the text: a condition that holds
for whoever is not named (`$1 is null or ...`) would have every partition read from end to end. The page is found first,
in the order of an index of each partition, and then joined with what stands beside it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from asyncpg import Record

from server.consultations.status import Status
from server.core.tx import Tx

Whose = Literal["patient", "doctor", "everybody"]

# $1 is the person, $2 a status or null, $3 now, $4 and $5 the row that the page goes on after, or null, $6 its length.
# Nobody has consultations of the months before they came: those partitions are not looked into. (`least` is for a clock
# that was set back for a try; a day, since clocks of several machines differ.)
OF_WHOM: dict[Whose, str] = {
    "patient": """
        c.patient_id = $1::uuid
        and c.created_at > (select least(created_at, $3) - interval '1 day' from patients where id = $1)
    """,
    "doctor": """
        c.doctor_id = $1::uuid
        and c.created_at > (select least(created_at, $3) - interval '1 day' from doctors where id = $1)
    """,
    "everybody": "$1::uuid is null and $3::timestamptz is not null",
}
LONGEST_PAGE = 101
# What began longer ago than a queue looks back is over, whatever nobody wrote down.
A_WEEK_AGO = "$3::timestamptz - interval '7 days'"
UPCOMING = f"""
    c.status in ('PENDING', 'ACTIVE') and c.start_time > {A_WEEK_AGO}
    and (c.end_time > $3 or c.status = 'ACTIVE' or c.called_at is not null)
    and (c.start_time, c.id) > (coalesce($4::timestamptz, '-infinity'),
                                coalesce($5::uuid, '00000000-0000-0000-0000-000000000000'))
    order by c.start_time, c.id
"""
LATEST = """
    (c.start_time, c.id) < (coalesce($4::timestamptz, 'infinity'),
                            coalesce($5::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
    order by c.start_time desc, c.id desc
"""
PAST = f"""
    (c.status in ('COMPLETED', 'CANCELLED') or c.start_time <= {A_WEEK_AGO}
     or c.end_time <= $3 and c.status = 'PENDING' and c.called_at is null)
    and {LATEST}
"""
When = Literal["upcoming", "past"] | None


def _statement(whose: Whose, when: When) -> str:
    which = {"upcoming": UPCOMING, "past": PAST, None: LATEST}[when]
    return f"""
        select c.id, c.status, c.slot_id, c.doctor_id, c.patient_id, c.start_time, c.end_time, c.meeting_link,
               c.confirmed_at, c.checked_in_at, c.called_at, c.started_at, c.ended_at, c.ended_as,
               c.queued_at, c.transferred_at,
               pay.id as payment_id, pay.status as payment_status, pay.amount_minor, pay.currency, pay.expires_at,
               d.name as doctor_name, d.specialty, u.id as user_id, u.name as patient_name
          from (
            select c.* from consultations c
             where {OF_WHOM[whose]} and ($2::text is null or c.status = $2) and {which}
             limit {LONGEST_PAGE}
          ) as c
          join payments pay on pay.consultation_id = c.id
          join doctors d on d.id = c.doctor_id
          join patients p on p.id = c.patient_id
          join users u on u.id = p.user_id
         order by {"c.start_time, c.id" if when == "upcoming" else "c.start_time desc, c.id desc"}
         limit $6
    """  # noqa: S608 - constants


STATEMENTS: dict[tuple[Whose, When], str] = {
    (whose, when): _statement(whose, when) for whose in OF_WHOM for when in ("upcoming", "past", None)
}


async def page(
    tx: Tx,
    whose: Whose,
    person: UUID | None,
    when: When,
    status: Status | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Record]:
    """Consultations of a person (None: of everybody): to come or under way, soonest first, or over, or all of them,
    the latest first; at most LONGEST_PAGE."""
    start, id_ = after or (None, None)
    return await tx.conn.fetch(STATEMENTS[whose, when], person, status, tx.now, start, id_, limit)
