"""The flush: what a transaction emitted and saw, written in one statement just before its commit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from asyncpg import Record

from server.core.batches import Statement, columns
from server.core.cipher import Cipher
from server.core.events import EVENTS, Event, News
from server.core.idempotency import InFlight
from server.core.ids import EventId, new_id
from server.core.tx import LastWord, Tx

# One statement for all of it, of one transaction or of many callers, of whom those count that are in `done`. Rooms are
# taken in name order (two rooms taken one by one, in different orders by different transactions, deadlock); the row
# lock of `rooms` makes numbers dense and in commit order. An event that no step hears has nothing to be relayed; who
# hears what is known once a worker has said so.
_TOLD = """
    told as (
        select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::text[],
                             $7::bytea[], $8::int[], $9::bytea[])
                 with ordinality as t (actor_id, request_id, at, owner, route, key, body_hash, status, reply, caller)
    )"""
_FLUSH = """
    posted as (
        insert into outbox (id, name, payload, actor_id, request_id, created_at, relayed_at)
        select e.id, e.name, e.payload, t.actor_id, t.request_id, t.at,
               case when (select count(*) from steps) > 0 and e.name not in (select event from steps) then t.at end
          from unnest($10::int[], $11::uuid[], $12::text[], $13::bytea[]) as e (caller, id, name, payload)
          join told t using (caller)
          join done using (caller)
        returning relayed_at is null as due
    ), entries as (
        select e.*, t.at, count(*) over (partition by e.room) as share,
               row_number() over (partition by e.room order by e.place) as turn
          from unnest($14::int[], $15::text[], $16::uuid[], $17::text[], $18::bytea[])
               with ordinality as e (caller, room, event_id, type, data, place)
          join told t using (caller)
          join done using (caller)
    ), numbered as (
        insert into rooms (name, seq)
        select room, max(share) from entries group by room order by room
        on conflict (name) do update set seq = rooms.seq + excluded.seq
        returning name, seq
    ), placed as (
        select e.*, n.seq - e.share + e.turn as number from entries e join numbered n on n.name = e.room
    ), logged as (
        insert into room_events (room, number, event_id, type, data, at)
        select room, number, event_id, type, data, at from placed
    ), kept as (
        insert into idempotency_keys (owner, route, key, body_hash, status, reply, created_at)
        select owner, route, key, body_hash, status, reply, at from told join done using (caller)
         where owner is not null
    )"""
_PARAMETERS = 18
FLUSH = f"""
    with {_TOLD}, done as (select caller from told), {_FLUSH}
    select p.number, r.due
      from (select exists (select from posted where due) as due) r left join placed p on true
     order by p.place
"""  # noqa: S608 - our own text


def at_once(columns: Mapping[str, str], parts: str, *, allowed: str = "true") -> Statement:
    """One statement, its own transaction, of what operations of many callers write and their flush.

    `columns` names what each caller gives, with its type. `parts` are CTEs over `wanted`: a row a caller, with these
    columns, `caller`, `at`, and `got` and `allowed`, without which nothing is to be written. The part `done` has the
    `caller`s whose write was done; nothing of the others is flushed. `allowed` is an expression over `w`.
    """
    act = _PARAMETERS + 1
    arrays = ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(columns.values(), act + 2))
    text = f"""
    with act as materialized (
        select set_config('amrutam.tx', ${act}, true), set_config('amrutam.acts', ${act + 1}, true)
    ), {_TOLD}, keyed as materialized (
        select t.*, t.owner is null
                    or pg_try_advisory_xact_lock(hashtextextended(t.owner || '|' || t.route || '|' || t.key, 0)) as got
          from act, told t
    ), wanted as materialized (
        select w.*, k.at, k.got, {allowed} as allowed
          from keyed k
          join unnest({arrays}) with ordinality as w ({", ".join(columns)}, caller) using (caller)
    ), {parts}, {_FLUSH}
    select w.caller, w.got, w.allowed, d.caller is not null as done, p.number, r.due
      from wanted w
      cross join (select exists (select from posted where due) as due) r
      left join done d using (caller)
      left join placed p using (caller)
     order by w.caller, p.place
"""  # noqa: S608 - made of our own texts, at import
    return Statement(text, fold=_folded)


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
class Flushed:
    """What is to be told after the commit: the frames, and whether there is something for the relay."""

    frames: Sequence[Frame] = ()
    due: bool = False


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What an idempotent call answered: kept with the key, sealed."""

    status: int
    body: bytes


def pack(news: News, cipher: Cipher) -> bytes:
    """The wire data of what is told as it travels and rests: `P` and JSON, or `S` and the sealed JSON."""
    plain = news.wire_json()
    return b"S" + cipher.seal_system("room", plain) if news.private else b"P" + plain


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
class _Entry:
    """One event in one room: the number is the database's to give."""

    room: str
    event_id: EventId
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class _Told:
    """What one caller's flush holds."""

    head: Sequence[Any]
    """Who acts, when, and the reply that is kept with the key: the columns of `told`."""
    events: Sequence[tuple[EventId, str, bytes]]
    entries: Sequence[_Entry]
    at: datetime
    act: str = ""
    word: LastWord | None = None

    def flushed(self, rows: list[Record]) -> Flushed:
        frames = [
            Frame(entry.room, row["number"], entry.type, entry.data, self.at, entry.event_id)
            for entry, row in zip(self.entries, rows, strict=False)  # without entries a caller's row has no number
        ]
        return Flushed(frames, rows[0]["due"])


def _flushed(callers: Sequence[_Told]) -> list[Any]:
    """The parameters of the flush of all these, in the order of their texts."""
    events = [(caller, *event) for caller, told in enumerate(callers, 1) for event in told.events]
    entries = [(caller, entry) for caller, told in enumerate(callers, 1) for entry in told.entries]
    return [
        *columns([told.head for told in callers]),
        *(columns(events) or [[]] * 4),
        [caller for caller, _ in entries],
        [entry.room for _, entry in entries],
        [entry.event_id for _, entry in entries],
        [entry.type for _, entry in entries],
        [entry.data for _, entry in entries],
    ]


def _folded(callers: Sequence[_Told]) -> list[Any]:
    """The same with who acts and what each writes. Of many, each row's actor is found by the row's own id."""
    words = [told.word for told in callers if told.word is not None]
    act, acts = callers[0].act, ""
    if len(callers) > 1:
        act = f"||||{callers[0].at.isoformat()}"
        acts = json.dumps({str(id_): told.act for told, word in zip(callers, words, strict=True) for id_ in word.ids})
    return [*_flushed(callers), act, acts, *columns([word.row for word in words])]


NOTHING = at_once({"nothing": "bool"}, "done as (select caller from wanted where got)")


async def flush(tx: Tx, cipher: Cipher, reply: StoredReply | None) -> Flushed:
    """Write everything the transaction collected."""
    if tx.reads:
        await record_reads(tx)
    if not tx.events and reply is None:
        return Flushed()
    told = _collected(tx, cipher, reply)
    return told.flushed(await tx.conn.fetch(FLUSH, *_flushed([told])))


async def act_at_once(tx: Tx, cipher: Cipher, reply: StoredReply | None) -> Flushed:
    """Write an operation's last word and the flush, all or nothing. Raises Stale, InFlight and the word's refusals."""
    word = tx.last or LastWord(NOTHING, (None,))
    told = _collected(tx, cipher, reply, word)
    try:
        rows = await tx.ask(word.statement, told)
    except tuple(word.refusals) as error:
        raise word.refusals[type(error)]() from None
    if not rows[0]["got"]:
        raise InFlight(retry_after_seconds=1)
    if not rows[0]["allowed"]:
        raise word.refusal
    if not rows[0]["done"]:
        raise Stale
    return told.flushed(rows)


def _collected(tx: Tx, cipher: Cipher, reply: StoredReply | None, word: LastWord | None = None) -> _Told:
    ids = [EventId(new_id(tx.now)) for _ in tx.events]
    key = tx.key if reply is not None else None
    head = [
        tx.actor.user_id,
        tx.request_id,
        tx.now,
        key.owner if key else None,
        key.route if key else None,
        key.key if key else None,
        key.body_hash if key else None,
        reply.status if reply else None,
        cipher.seal_system("reply", reply.body) if reply else None,
    ]
    events = [
        (event_id, event.name, pack_payload(event, cipher)) for event_id, event in zip(ids, tx.events, strict=True)
    ]
    entries = [
        _Entry(room, event_id, event.name, pack(event, cipher))
        for event_id, event in zip(ids, tx.events, strict=True)
        for room in event.room_names()
    ]
    return _Told(head, events, entries, tx.now, tx.act if word else "", word)


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
