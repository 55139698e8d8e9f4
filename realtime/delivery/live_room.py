"""Rooms as tables of data: who may watch, what they see first, what they may ask; and the two calls all rooms share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, cast
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from realtime.delivery.commands import Command, Ready
from realtime.delivery.connections import Connections, Socket
from realtime.delivery.fanout import Fanout
from realtime.delivery.feed import Feed, Feeds, Kept
from realtime.delivery.frames import compact, event_object
from realtime.delivery.limits import Bounds
from realtime.delivery.queries import Head, Logged, events_since, room_head
from server.core.database import Database
from server.core.errors import Forbidden, NotFound, Problem, TooMany, Unauthenticated, Unavailable
from server.core.events import Room, Signal
from server.core.models import Ask, Done, rfc3339
from server.core.outbox import unpack
from server.core.privacy import Level
from server.core.tx import SYSTEM, Actor, Tx

log = logging.getLogger(__name__)
RoomName = Annotated[
    str, StringConstraints(min_length=1, max_length=80, pattern=r"^[a-z]+(:[0-9a-f-]{36})?$"), Level.PUBLIC
]
SHARED_SECONDS = 5.0
TRIES = 3


class Subscribe(Ask):
    """Watch a room. `since` is the number of the last event that the client has applied."""

    room: RoomName
    since: Annotated[int, Field(ge=0, le=2**53)] | None = None


class Unsubscribe(Ask):
    """Watch a room no more."""

    room: RoomName


class TooManyRooms(TooMany):
    """This connection watches as many rooms as it may. Leave one first."""

    code = "too-many-rooms"
    title = "This connection watches too many rooms."


MayJoin = Callable[[Tx, UUID], Awaitable[None]]
Snapshot = Callable[[Tx, UUID], Awaitable[Mapping[str, object]]]
NO_ID = UUID(int=0)  # the rooms of which there is one


@dataclass(frozen=True)
class PresenceRule:
    """As what an actor counts in a kind of room, and the signal that tells of a change, if anybody is told."""

    role_of: Callable[[Actor], str | None]
    signal: Callable[[UUID, str, bool], Signal | None]
    roles: tuple[str, ...]


@dataclass(frozen=True)
class LiveRoom:
    """A kind of room.

    `may_join` raises a Problem for whoever may not watch; it is asked again of everybody after an event of
    `rechecked_on`. `snapshot` is what the room shows as of now.
    """

    room: Room
    may_join: MayJoin
    snapshot: Snapshot
    is_public: bool = False
    commands: Sequence[Command] = ()
    presence: PresenceRule | None = None
    rechecked_on: frozenset[str] = field(default_factory=lambda: frozenset[str]())


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look into the database found: the room's number, with either the events to replay or a snapshot."""

    head: Head
    replay: list[Kept] | None
    snapshot: str


class Rooms:
    """Subscribing and leaving, for every kind of room."""

    def __init__(
        self,
        database: Database,
        feeds: Feeds,
        fanout: Fanout,
        connections: Connections,
        kinds: Sequence[LiveRoom],
        bounds: Bounds,
    ) -> None:
        self._database = database
        self._feeds = feeds
        self._fanout = fanout
        self._connections = connections
        self._bounds = bounds
        self.kinds = {kind.room.kind: kind for kind in kinds}
        self._looking: dict[tuple[str, int | None], asyncio.Task[_Seen]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.on_joined: list[Callable[[Socket, str], None]] = []
        self.on_left: list[Callable[[Socket, str], None]] = []
        feeds.on_event.append(self._recheck_after)

    def find(self, name: str) -> tuple[LiveRoom, UUID]:
        """The kind of a room and the id in its name. Raises NotFound."""
        kind_name, colon, text = name.partition(":")
        kind = self.kinds.get(kind_name)
        if kind is None or bool(colon) != bool(kind.room.fields):
            raise NotFound("There is no such room.")
        if not colon:
            return kind, NO_ID
        try:
            id_ = UUID(text)
        except ValueError:
            raise NotFound("There is no such room.") from None
        if str(id_) != text:  # one room, one name
            raise NotFound("There is no such room.")
        return kind, id_

    async def subscribe(self, socket: Socket, ask: Subscribe) -> Ready:
        """Watch a room: everything after `since` if that can be replayed, else a snapshot; events follow from there.

        Raises NotFound for what the caller may not see, Unauthenticated for a room that is not public.
        """
        kind, id_ = self.find(ask.room)
        if not kind.is_public and socket.is_anonymous:
            raise Unauthenticated
        if ask.room not in socket.rooms and len(socket.rooms) >= self._bounds.rooms_a_socket:
            raise TooManyRooms
        if ask.since is not None and self._feeds.is_doubtful(ask.room, ask.since):
            ask = Subscribe(room=ask.room)
        with self._feeds.held(ask.room) as feed:
            for _ in range(TRIES):
                ready = self._from_memory(socket, feed, kind, ask)
                if ready is not None:
                    return ready
                seen = await self._look(socket, feed, kind, id_, ask)
                number = seen.head.number
                if feed.head is None or number >= feed.head or feed.after(number) is not None:
                    return self._ready(socket, feed, seen)
        raise Unavailable(retry_after_seconds=1)

    async def unsubscribe(self, socket: Socket, ask: Unsubscribe) -> Done:
        """Watch a room no more. One that was not watched is left all the same."""
        if ask.room in socket.rooms:
            self._leave(socket, ask.room)
        return Done()

    def closed(self, socket: Socket) -> None:
        """A socket has ended, or is about to: it watches nothing any more."""
        for room in tuple(socket.rooms):
            self._leave(socket, room)
        self._feeds.forget(socket)

    def _leave(self, socket: Socket, room: str) -> None:
        self._feeds.leave(room, socket)
        for tell in self.on_left:
            tell(socket, room)

    def _from_memory(self, socket: Socket, feed: Feed, kind: LiveRoom, ask: Subscribe) -> Ready | None:
        """An answer without the database, for public rooms: reconnecting crowds find it all in memory."""
        head = feed.head
        if not kind.is_public or head is None or not feed.members:
            return None
        if ask.since is not None:
            events = feed.after(ask.since)
            return None if events is None else self._answer(socket, feed, Head(head, feed.head_id), events=events)
        shared = feed.snapshot
        if shared is None or shared[0] != head or time.monotonic() - shared[1] > SHARED_SECONDS:
            return None
        return self._answer(socket, feed, Head(head, feed.head_id), snapshot=shared[2])

    async def _look(self, socket: Socket, feed: Feed, kind: LiveRoom, id_: UUID, ask: Subscribe) -> _Seen:
        if not kind.is_public:
            return await self._read(kind, id_, ask, socket.actor)
        # Of a crowd that opens one public page at once, or comes back to it from one number when this process has just
        # begun, one asks and all hear the answer. Each for itself, they and the sweep waited behind all their reads.
        asked = (ask.room, ask.since)
        task = self._looking.get(asked)
        if task is None:
            task = asyncio.ensure_future(self._read(kind, id_, ask, SYSTEM))
            self._looking[asked] = task
            task.add_done_callback(lambda _: self._looking.pop(asked, None))
        seen = await asyncio.shield(task)
        if seen.replay is None:
            feed.snapshot = (seen.head.number, time.monotonic(), seen.snapshot)
        return seen

    async def _read(self, kind: LiveRoom, id_: UUID, ask: Subscribe, actor: Actor) -> _Seen:
        async def look(tx: Tx) -> tuple[Head, list[Logged] | None, str]:
            await kind.may_join(tx, id_)
            head = await room_head(tx, ask.room)
            if ask.since is not None and 0 <= (missed := head.number - ask.since) <= self._bounds.replay_at_most:
                events = await events_since(tx, ask.room, ask.since, missed)
                if len(events) == missed:
                    return head, events, ""
            return head, None, compact(_plain(await kind.snapshot(tx, id_)))

        head, logged, snapshot = await self._database.read(look, actor=actor, source="socket")
        if logged is None:
            return _Seen(head, None, snapshot)
        cipher = self._database.cipher
        replay = [
            Kept(
                its.number,
                its.event_id,
                event_object(ask.room, its.number, its.type, unpack(its.data, cipher).decode(), rfc3339(its.at)),
            )
            for its in logged
        ]
        return _Seen(head, replay, "")

    def _ready(self, socket: Socket, feed: Feed, seen: _Seen) -> Ready:
        if seen.replay is None:
            return self._answer(socket, feed, seen.head, snapshot=seen.snapshot)
        events = [kept.event for kept in seen.replay]
        return self._answer(socket, feed, seen.head, events=events, replay=seen.replay)

    def _answer(
        self,
        socket: Socket,
        feed: Feed,
        seen: Head,
        *,
        events: list[str] | None = None,
        snapshot: str = "",
        replay: Sequence[Kept] = (),
    ) -> Ready:
        head = compact({"ok": True, "room": feed.room, "offset": seen.number, "at": rfc3339(self._database.clock())})
        rest = f'"snapshot":{snapshot}' if events is None else f'"events":[{",".join(events)}]'

        def admit() -> None:
            self._feeds.admit(feed.room, socket, seen, replay)
            for tell in self.on_joined:
                tell(socket, feed.room)

        return Ready(f"{head[:-1]},{rest}}}", admit)

    def _recheck_after(self, room: str, type_: str, data: str) -> None:
        kind = self.kinds.get(room.partition(":")[0])
        if kind is not None and type_ in kind.rechecked_on and self._feeds.members(room):
            task = asyncio.get_running_loop().create_task(self.recheck(room))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def recheck(self, room: str) -> None:
        """Ask again whether everybody in a room may still watch; who may not leaves, and is told to ask again."""
        kind, id_ = self.find(room)
        allowed: dict[Actor, bool] = {}
        for socket in self._feeds.members(room):
            actor = socket.actor
            if actor not in allowed:
                try:
                    await self._database.read(lambda tx: kind.may_join(tx, id_), actor=actor, source="socket")
                    allowed[actor] = True
                except (NotFound, Forbidden, Unauthenticated):
                    allowed[actor] = False
                except Problem as problem:
                    log.warning("a room could not be checked again", extra={"room": room, "code": problem.code})
                    return
            if not allowed[actor] and room in socket.rooms:
                self._leave(socket, room)
                self._fanout.tell_resync(socket, room, "left")


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain_value(value) for name, value in values.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, list):
        return [_plain_value(item) for item in cast("list[object]", value)]
    return value
