"""The SQL of delivery: the log of rooms, their numbers, and which sessions have ended.

A number is told together with the id of the event that has it: after a restore the same number may mean another event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast
from uuid import UUID

from asyncpg import Record

from server.core.ids import SessionId
from server.core.tx import Role, Tx

NUMBER = """
    select r.seq, e.event_id from rooms r left join room_events e on e.room = r.name and e.number = r.seq
     where r.name = $1
"""
SINCE = """
    select number, type, data, at, event_id from room_events
     where room = $1 and number > $2 order by number limit $3
"""
# Rooms whose number is not the head in memory, each with what follows the head, at most $3 events a room.
AHEAD = """
    select h.room, coalesce(r.seq, 0) as seq, e.number, e.type, e.data, e.at, e.event_id
      from unnest($1::text[], $2::bigint[]) as h (room, head)
      left join rooms r on r.name = h.room
      left join lateral (
            select number, type, data, at, event_id from room_events
             where room = h.room and number > h.head order by number limit $3
      ) e on true
     where coalesce(r.seq, 0) <> h.head
     order by h.room, e.number
"""
CONTRADICTED = """
    select distinct t.room
      from unnest($1::text[], $2::bigint[], $3::uuid[]) as t (room, number, event_id)
      join room_events e on e.room = t.room and e.number = t.number
     where e.event_id <> t.event_id
"""
ENDED = """
    select w.id from unnest($1::uuid[], $2::text[]) as w (id, role)
      left join sessions s on s.id = w.id and s.ended_at is null and s.expires_at > $3
                               and s.last_seen_at > $3::timestamptz - interval '8 hours'
      left join users u on u.id = s.user_id and u.role = w.role and u.disabled_at is null
     where u.id is null
"""


class Logged(NamedTuple):
    """One event of a room as the log holds it; `data` is still packed."""

    number: int
    type: str
    data: bytes
    at: datetime
    event_id: UUID


class Head(NamedTuple):
    """Where a room is: the number of its last event, and which event that is, if the log still has it."""

    number: int
    event_id: UUID | None


class Ahead(NamedTuple):
    """A room that is not where memory thinks: its number, and what follows the head."""

    seq: int
    events: list[Logged]


async def room_head(tx: Tx, room: str) -> Head:
    """The number of a room's last event, 0 before the first, and its id."""
    row = await tx.conn.fetchrow(NUMBER, room)
    return Head(row["seq"], row["event_id"]) if row is not None else Head(0, None)


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


async def contradicted(tx: Tx, told: Sequence[tuple[str, int, UUID]]) -> set[str]:
    """The rooms where one of these numbers is another event's than the one that was told under it."""
    columns = [list(column) for column in zip(*told, strict=True)] or [[], [], []]
    return {cast("str", row["room"]) for row in await tx.conn.fetch(CONTRADICTED, *columns)}


async def ended_sessions(tx: Tx, sessions: Mapping[SessionId, Role | None]) -> list[SessionId]:
    """Those that have ended, expired, seen nobody for eight hours, or whose user has another role than this now."""
    roles = [role.value if role is not None else "" for role in sessions.values()]
    return [cast("SessionId", row["id"]) for row in await tx.conn.fetch(ENDED, list(sessions), roles, tx.now)]


def _logged(row: Record) -> Logged:
    return Logged(row["number"], row["type"], row["data"], row["at"], row["event_id"])
