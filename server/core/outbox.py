"""The flush: what a transaction emitted and saw, written in one statement just before its commit."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from asyncpg import Record

from server.core.cipher import Cipher
from server.core.events import EVENTS, Event, Signal
from server.core.idempotency import InFlight
from server.core.ids import EventId, new_id
from server.core.tx import LastWord, Tx

# One statement for all of it. Rooms are taken in name order (two rooms taken one by one, in different orders by
# different transactions, deadlock); the row lock of `rooms` makes numbers dense and in commit order.
_PARTS = """
    posted as (
        insert into outbox (id, name, payload, actor_id, request_id, created_at)
        select id, name, payload, $4, $5, $6 from unnest($1::uuid[], $2::text[], $3::bytea[]) as e (id, name, payload)
         where {done}
    ), numbered as (
        insert into rooms (name, seq)
        select room, count(*) from unnest($7::text[]) as wanted (room) where {done} group by room order by room
        on conflict (name) do update set seq = rooms.seq + excluded.seq
        returning name, seq
    ), logged as (
        insert into room_events (room, number, event_id, type, data, at)
        select e.room, n.seq - e.behind, e.event_id, e.type, e.data, $6
          from unnest($7::text[], $8::int[], $9::uuid[], $10::text[], $11::bytea[])
               as e (room, behind, event_id, type, data)
          join numbered n on n.name = e.room
    ), kept as (
        insert into idempotency_keys (owner, route, key, body_hash, status, reply, created_at)
        select $12, $13, $14, $15, $16, $17, $6 where $12::text is not null and {done}
    )
"""
FLUSH = f"with {_PARTS.format(done='true')} select name, seq from numbered"  # noqa: S608 - our own text
_PARAMETERS = 17


def at_once(parts: str, parameters: int) -> str:
    """One statement, its own transaction, of an operation's write and the flush.

    `parts` are CTEs with parameters $1 to $`parameters`. They write only where `key.got`, and the last, `done`, has
    a row if they did; nothing is flushed otherwise.
    """
    flush = re.sub(r"\$(\d+)", lambda m: f"${int(m[1]) + parameters}", _PARTS.format(done="exists (select from done)"))
    owner, route, key, act = (f"${parameters + n}" for n in (12, 13, 14, _PARAMETERS + 1))
    return f"""
    with act as materialized (select set_config('amrutam.tx', {act}, true)),
    key as materialized (
        select case when {owner}::text is null then true
                    else pg_try_advisory_xact_lock(hashtextextended({owner} || '|' || {route} || '|' || {key}, 0))
               end as got
          from act
    ), {parts}, {flush}
    select key.got, exists (select from done) as done, numbered.name, numbered.seq
      from key left join numbered on true
"""  # noqa: S608 - made of our own texts, at import


NOTHING = at_once("done as (select from key where key.got)", 0)
ROOM_OFFSET = "select seq from rooms where name = $1"
RECORD_READS = """
    insert into audit_logs (id, created_at, actor_id, actor_role, source, request_id, action, table_name,
                            row_id, patient_id)
    select id, id_time(id), $2, $3, 'rest', $4, 'read', what, row_id, patient_id
      from unnest($1::uuid[], $5::text[], $6::uuid[], $7::uuid[]) as r (id, what, row_id, patient_id)
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """One numbered message of a room, as it is published and logged. `data` is sealed where it is private."""

    room: str
    number: int
    type: str
    data: bytes
    at: datetime
    event_id: EventId


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What an idempotent call answered: kept with the key, sealed."""

    status: int
    body: bytes


def pack(event: Event | Signal, cipher: Cipher) -> bytes:
    """The wire data of an event as it travels and rests: `P` and JSON, or `S` and the sealed JSON."""
    plain = json.dumps(event.wire(), ensure_ascii=False, separators=(",", ":")).encode()
    return b"S" + cipher.seal_system("room", plain) if type(event).private else b"P" + plain


def unpack(data: bytes, cipher: Cipher) -> bytes:
    """The JSON of what pack() made. Raises Unreadable."""
    return cipher.open_system("room", data[1:]) if data[:1] == b"S" else data[1:]


def pack_payload(event: Event, cipher: Cipher) -> bytes:
    """The whole event for the outbox, sealed."""
    return cipher.seal_system("outbox", event.model_dump_json().encode())


def unpack_payload(name: str, payload: bytes, cipher: Cipher) -> Event:
    """The event of an outbox row. Raises KeyError for a name that this program does not know."""
    return EVENTS[name].model_validate_json(cipher.open_system("outbox", payload))


class Stale(Exception):
    """What an operation that acts at once had looked at has changed: it looks again."""


@dataclass(frozen=True, slots=True)
class _Flush:
    """What the flush sends, and the frames that it leads to once the rooms' numbers are known."""

    args: list[Any]
    entries: list[tuple[str, EventId, str, bytes]]
    behind: list[int]
    at: datetime

    def frames(self, rows: list[Record]) -> list[Frame]:
        heads = {cast(str, row["name"]): cast(int, row["seq"]) for row in rows}
        return [
            Frame(room, heads[room] - late, name, data, self.at, event_id)
            for (room, event_id, name, data), late in zip(self.entries, self.behind, strict=True)
        ]


async def flush(tx: Tx, cipher: Cipher, reply: StoredReply | None) -> list[Frame]:
    """Write everything the transaction collected; the frames are to be published after the commit."""
    if tx.reads:
        await record_reads(tx)
    if not tx.events and reply is None:
        return []
    wanted = _collected(tx, cipher, reply)
    return wanted.frames(await tx.conn.fetch(FLUSH, *wanted.args))


async def act_at_once(tx: Tx, cipher: Cipher, reply: StoredReply | None) -> list[Frame]:
    """Write an operation's last word and the flush, all or nothing. Raises Stale, InFlight and the word's refusals."""
    word = tx.last or LastWord(NOTHING, ())
    wanted = _collected(tx, cipher, reply)
    try:
        rows = await tx.conn.fetch(word.statement, *word.args, *wanted.args, tx.act)
    except tuple(word.refusals) as error:
        raise word.refusals[type(error)]() from None
    if not rows[0]["got"]:
        raise InFlight(retry_after_seconds=1)
    if not rows[0]["done"]:
        raise Stale
    return wanted.frames(rows)


def _collected(tx: Tx, cipher: Cipher, reply: StoredReply | None) -> _Flush:
    ids = [EventId(new_id(tx.now)) for _ in tx.events]
    entries = [
        (room, event_id, event.name, pack(event, cipher))
        for event_id, event in zip(ids, tx.events, strict=True)
        for room in event.room_names()
    ]
    left = Counter(room for room, *_ in entries)
    behind: list[int] = []
    for room, *_ in entries:
        left[room] -= 1
        behind.append(left[room])
    key = tx.key if reply is not None else None
    args = [
        ids,
        [event.name for event in tx.events],
        [pack_payload(event, cipher) for event in tx.events],
        tx.actor.user_id,
        tx.request_id,
        tx.now,
        [room for room, *_ in entries],
        behind,
        [event_id for _, event_id, _, _ in entries],
        [name for _, _, name, _ in entries],
        [data for *_, data in entries],
        key.owner if key else None,
        key.route if key else None,
        key.key if key else None,
        key.body_hash if key else None,
        reply.status if reply else None,
        cipher.seal_system("reply", reply.body) if reply else None,
    ]
    return _Flush(args, entries, behind, tx.now)


async def room_offset(tx: Tx, room: str) -> int:
    """The number of a room's last event in this snapshot: what a page that shows the room subscribes from."""
    return await tx.conn.fetchval(ROOM_OFFSET, room) or 0


async def record_reads(tx: Tx) -> None:
    """Write the rows of who saw what; the reply leaves only after them."""
    reads, tx.reads = tx.reads, []
    ids: list[UUID] = [new_id(tx.now) for _ in reads]
    args: list[Any] = [ids, tx.actor.user_id, tx.actor.role, tx.request_id]
    await tx.conn.execute(
        RECORD_READS,
        *args,
        [seen.what for seen in reads],
        [seen.row_id for seen in reads],
        [seen.patient_id for seen in reads],
    )
