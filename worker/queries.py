"""All SQL of the worker: the relay, the sweep, and what becomes of a delivery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast
from uuid import UUID

from asyncpg import Record

from server.core.batches import Statement
from server.core.tx import Tx

LEASE_SECONDS = 60
MOST_TRIES = 5
RELAYED_AT_ONCE = 200
MOST_TRIES_WHILE_AWAY = 150  # the longest pause is ten minutes: about a day

ANNOUNCE_STEPS = """
    insert into steps (event, step, seen_at)
    select event, step, $3 from unnest($1::text[], $2::text[]) as s (event, step)
    on conflict (event, step) do update set seen_at = excluded.seen_at
"""
# As many as the relaying worker has room for, of the steps it knows, are its own from the beginning: nobody else is
# told of them, so they need not be claimed.
RELAY = """
    with fresh as (
        select id, name, payload, created_at
          from outbox where relayed_at is null order by created_at limit $3 for update skip locked
    ), marked as (
        update outbox set relayed_at = $1 where id = any(array(select id from fresh))
    ), wanted as (
        select f.id, s.step, s.step = any($5::text[])
                             and row_number() over (partition by s.step = any($5::text[]) order by f.created_at) <= $4
                             as own
          from fresh f join steps s on s.event = f.name
    ), made as (
        insert into deliveries (event_id, step, due_at, sent_at)
        select id, step, $1::timestamptz + make_interval(secs => $2), case when not own then $1::timestamptz end
          from wanted
        on conflict do nothing
        returning event_id, step, sent_at is null as own
    )
    select m.event_id, m.step, m.own, f.name, f.payload from made m join fresh f on f.id = m.event_id
"""
SWEEP = """
    with due as (
        select event_id, step from deliveries
         where done_at is null and parked_at is null and due_at <= $1 and step = any($3::text[])
         order by due_at limit 100 for update skip locked
    )
    update deliveries d set due_at = $1::timestamptz + make_interval(secs => $2), sent_at = $1
      from due where d.event_id = due.event_id and d.step = due.step
    returning d.event_id, d.step
"""
ALL_DUE = "update deliveries set due_at = $1 where done_at is null and parked_at is null and sent_at is not null"
LOCK_DELIVERY = """
    select o.name, o.payload
      from deliveries d join outbox o on o.id = d.event_id
     where d.event_id = $1 and d.step = $2 and d.done_at is null and d.parked_at is null
       for update of d skip locked
"""
# `sent_at` is the permission to begin an errand: taking it makes a second copy of the message find nothing to do, also
# while the first is at work outside, without a transaction. The sweep gives it anew when a lease has run out.
CLAIM = Statement(f"""
    update deliveries d set due_at = w.now + interval '{LEASE_SECONDS} seconds', sent_at = null
      from unnest($1::uuid[], $2::text[], $3::timestamptz[]) with ordinality as w (event_id, step, now, caller)
      join outbox o on o.id = w.event_id
     where d.event_id = any($1) and d.event_id = w.event_id and d.step = w.step
       and d.done_at is null and d.parked_at is null and d.sent_at is not null
    returning w.caller, o.name, o.payload
""")  # noqa: S608 - a constant
PUT_BACK = """
    update deliveries set due_at = $3::timestamptz + make_interval(secs => 1)
     where event_id = $1 and step = $2 and done_at is null and parked_at is null
"""
RENEW = """
    update deliveries set due_at = $3::timestamptz + make_interval(secs => $4)
     where event_id = $1 and step = $2 and done_at is null and parked_at is null
"""
DONE = Statement("""
    update deliveries d set done_at = w.now, error = null
      from unnest($1::uuid[], $2::text[], $3::timestamptz[]) with ordinality as w (event_id, step, now, caller)
     where d.event_id = any($1) and d.event_id = w.event_id and d.step = w.step and d.done_at is null
    returning w.caller
""")
FAILED = """
    update deliveries
       set tries = tries + 1, error = $3,
           due_at = $4::timestamptz + make_interval(secs => least(600, $5::float8 * power(2, least(tries, 20)))),
           parked_at = case when tries + 1 >= $6 then $4::timestamptz end
     where event_id = $1 and step = $2 and done_at is null and parked_at is null
    returning tries, parked_at
"""
LIST_OPEN = """
    select d.event_id, o.name, d.step, d.tries, d.due_at, d.parked_at, d.error
      from deliveries d join outbox o on o.id = d.event_id
     where d.done_at is null and (d.parked_at is not null or not $1)
     order by d.parked_at nulls last, d.due_at limit 500
"""
REPLAY = """
    update deliveries set parked_at = null, tries = 0, due_at = $2, error = null
     where parked_at is not null and ($1::uuid is null or event_id = $1)
    returning event_id
"""
TICK_LOCK = "select pg_try_advisory_xact_lock(hashtextextended('amrutam tick ' || $1, 0))"

Delivery = tuple[UUID, str]


def _pairs(rows: list[Record]) -> list[Delivery]:
    return [(cast(UUID, row["event_id"]), cast(str, row["step"])) for row in rows]


async def announce_steps(tx: Tx, steps: dict[str, str]) -> None:
    """Write which steps hear which event (step name -> event name)."""
    await tx.conn.execute(ANNOUNCE_STEPS, list(steps.values()), list(steps), tx.now)


@dataclass(frozen=True, slots=True)
class Relayed:
    """A delivery that was made just now; one of the relaying worker's own has its event with it."""

    delivery: Delivery
    event: Record | None


async def relay(tx: Tx, room: int, known: list[str]) -> list[Relayed]:
    """Turn new outbox events into deliveries, leased as if sent; `room` of them, of `known` steps, to run here."""
    rows = await tx.conn.fetch(RELAY, tx.now, float(LEASE_SECONDS), RELAYED_AT_ONCE, room, known)
    return [Relayed((row["event_id"], row["step"]), row if row["own"] else None) for row in rows]


async def sweep(tx: Tx, known: list[str]) -> list[Delivery]:
    """Lease what is due among the steps that this worker knows."""
    return _pairs(await tx.conn.fetch(SWEEP, tx.now, float(LEASE_SECONDS), known))


async def all_due(tx: Tx) -> None:
    """Redis was emptied: everything that was sent is due at once."""
    await tx.conn.execute(ALL_DUE, tx.now)


async def lock_delivery(tx: Tx, delivery: Delivery) -> Record | None:
    """The event of an open delivery, its row locked; None when it is done, parked or in other hands."""
    return await tx.conn.fetchrow(LOCK_DELIVERY, *delivery)


async def claim(tx: Tx, delivery: Delivery) -> Record | None:
    """The event of an open errand, taken for one lease; None when it is done, parked or taken."""
    rows = await tx.ask(CLAIM, (*delivery, tx.now))
    return rows[0] if rows else None


async def put_back(tx: Tx, delivery: Delivery) -> None:
    """Leave a delivery to somebody else, soon."""
    await tx.conn.execute(PUT_BACK, *delivery, tx.now)


async def renew(tx: Tx, delivery: Delivery) -> None:
    """Move the lease of a running errand ahead."""
    await tx.conn.execute(RENEW, *delivery, tx.now, float(LEASE_SECONDS))


async def done(tx: Tx, delivery: Delivery) -> None:
    """Close a delivery, in the transaction of its effect."""
    await tx.ask(DONE, (*delivery, tx.now))


async def failed(tx: Tx, delivery: Delivery, error: str, pause_seconds: float, most: int) -> Record | None:
    """Count a failure: due again after the pause, doubled each time up to ten minutes; parked at the last try."""
    return await tx.conn.fetchrow(FAILED, *delivery, error, tx.now, pause_seconds, most)


async def list_open(tx: Tx, *, parked_only: bool) -> list[Record]:
    """Deliveries that are not done."""
    return await tx.conn.fetch(LIST_OPEN, parked_only)


async def replay(tx: Tx, event_id: UUID | None) -> int:
    """Make parked deliveries due again; all of them, or one event's."""
    return len(await tx.conn.fetch(REPLAY, event_id, tx.now))


async def take_tick(tx: Tx, name: str) -> bool:
    """Whether this worker may run the tick now: one in the house at a time."""
    return bool(await tx.conn.fetchval(TICK_LOCK, name))
