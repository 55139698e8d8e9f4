"""The SQL of delivery: the log of rooms, their numbers, and which sessions have ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from asyncpg import Record

from server.core.ids import SessionId
from server.core.tx import Tx

NUMBER = "select coalesce((select seq from rooms where name = $1), 0)"
SINCE = """
    select number, type, data, at from room_events where room = $1 and number > $2 order by number limit $3
"""
# Rooms whose number is not the head in memory, each with what follows the head, at most $3 events a room.
AHEAD = """
    select h.room, coalesce(r.seq, 0) as seq, e.number, e.type, e.data, e.at
      from unnest($1::text[], $2::bigint[]) as h (room, head)
      left join rooms r on r.name = h.room
      left join lateral (
            select number, type, data, at from room_events
             where room = h.room and number > h.head order by number limit $3
      ) e on true
     where coalesce(r.seq, 0) <> h.head
     order by h.room, e.number
"""
ENDED = """
    select w.id from unnest($1::uuid[]) as w (id)
      left join sessions s on s.id = w.id and s.ended_at is null and s.expires_at > $2
                               and s.last_seen_at > $2::timestamptz - interval '8 hours'
     where s.id is null
"""


class Logged(NamedTuple):
    """One event of a room as the log holds it; `data` is still packed."""

    number: int
    type: str
    data: bytes
    at: datetime


class Ahead(NamedTuple):
    """A room that is not where memory thinks: its number, and what follows the head."""

    seq: int
    events: list[Logged]


async def room_number(tx: Tx, room: str) -> int:
    """The number of a room's last event; 0 before the first."""
    return cast("int", await tx.conn.fetchval(NUMBER, room))


async def events_since(tx: Tx, room: str, since: int, limit: int) -> list[Logged]:
    """What the log holds after `since`, oldest first, at most `limit`."""
    return [_logged(row) for row in await tx.conn.fetch(SINCE, room, since, limit)]


async def rooms_ahead(tx: Tx, heads: Mapping[str, int], limit: int) -> dict[str, Ahead]:
    """The rooms among these whose number differs from the head given."""
    found: dict[str, Ahead] = {}
    for row in await tx.conn.fetch(AHEAD, list(heads), list(heads.values()), limit):
        ahead = found.setdefault(cast("str", row["room"]), Ahead(cast("int", row["seq"]), []))
        if row["number"] is not None:
            ahead.events.append(_logged(row))
    return found


async def ended_sessions(tx: Tx, sessions: Sequence[SessionId]) -> list[SessionId]:
    """Those of these sessions that have ended, expired, or seen nobody for eight hours."""
    return [cast("SessionId", row["id"]) for row in await tx.conn.fetch(ENDED, sessions, tx.now)]


def _logged(row: Record) -> Logged:
    return Logged(row["number"], row["type"], row["data"], row["at"])
