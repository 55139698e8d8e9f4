"""All SQL of the jobs."""

from __future__ import annotations

from datetime import date

from server.core.tx import Tx

MAKE_PARTITIONS = "select make_partitions($1::date, $2)"
TRIM_ROOM_EVENTS = """
    delete from room_events e using rooms r
     where r.name = e.room and (e.at < $1::timestamptz - interval '24 hours' or e.number <= r.seq - 1000)
"""
TRIM_KEYS = "delete from idempotency_keys where created_at < $1::timestamptz - interval '48 hours'"
TRIM_DELIVERIES = "delete from deliveries where done_at < $1::timestamptz - interval '7 days'"
TRIM_OUTBOX = """
    delete from outbox o
     where o.relayed_at < $1::timestamptz - interval '7 days'
       and not exists (select 1 from deliveries d where d.event_id = o.id)
"""


async def make_months(tx: Tx, first: date, months: int) -> int:
    """Make the partitions that are missing; how many were."""
    return await tx.conn.fetchval(MAKE_PARTITIONS, first, months) or 0


async def trim_plumbing(tx: Tx) -> None:
    """Delete what has served its time, oldest first where one refers to another."""
    for statement in (TRIM_ROOM_EVENTS, TRIM_KEYS, TRIM_DELIVERIES, TRIM_OUTBOX):
        await tx.conn.execute(statement, tx.now)
