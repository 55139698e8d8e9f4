"""The SQL of rooms: who was called in and waits for their doctor, and what work is at hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from server.core.ids import ConsultationId, DoctorId
from server.core.tx import Tx

CALLED = """
    select id, doctor_id from consultations
     where status = 'PENDING' and called_at is not null and called_at < $1 order by called_at limit 500
"""

# A watcher asks every other second: each part is one short look into its own partial index, and bounded.
WORK = """
    select (select count(*) from (select 1 from consultations
             where status = 'PENDING' and called_at is not null limit 10000) c)::int as called,
           (select count(*) from (select 1 from deliveries
             where done_at is null and parked_at is null and due_at < $1 limit 10000) d)::int as steps_due,
           (select count(*) from (select 1 from deliveries
             where parked_at is not null and done_at is null limit 10000) p)::int as steps_parked,
           (select count(*) from (select 1 from outbox where relayed_at is null limit 10000) o)::int as outbox_waiting,
           (select min(created_at) from outbox where relayed_at is null) as outbox_since
"""


class Called(NamedTuple):
    """A patient who was called in and whose consultation has not begun."""

    id: ConsultationId
    doctor_id: DoctorId


async def called_before(tx: Tx, grace: timedelta) -> list[Called]:
    """Whose call is older than `grace` and has not begun, the oldest first."""
    return [Called(row["id"], row["doctor_id"]) for row in await tx.conn.fetch(CALLED, tx.now - grace)]


class Work(NamedTuple):
    """What the worker has before it, and patients who were called in; each counted up to ten thousand."""

    called: int
    steps_due: int
    steps_parked: int
    outbox_waiting: int
    outbox_since: datetime | None


async def work_at_hand(tx: Tx, *, late: timedelta) -> Work:
    """What waits: steps count as due when they are later than `late`."""
    row = await tx.conn.fetchrow(WORK, tx.now - late)
    assert row is not None
    return Work(**dict(row))
