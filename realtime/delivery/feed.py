"""The feed of every room with members here: numbers decide, the log is read for what the channels did not bring."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from uuid import UUID

from realtime.delivery.channels import Channels
from realtime.delivery.connections import Socket
from realtime.delivery.fanout import Fanout
from realtime.delivery.frames import compact, event_frame, event_object
from realtime.delivery.limits import Bounds
from realtime.delivery.queries import Ahead, Head, contradicted, rooms_ahead
from server.core.cipher import Cipher, Unreadable
from server.core.database import Database
from server.core.errors import Problem
from server.core.models import rfc3339
from server.core.outbox import unpack
from server.core.publish import CONTROL_CHANNEL, room_channel
from server.core.tasks import end_tasks
from server.core.tx import Tx

log = logging.getLogger(__name__)
AT_ONCE = 500
DOUBTS_KEPT = 10_000
NOTHING = Head(0, None)


class Kept(NamedTuple):
    """An event as it was delivered: ready JSON."""

    number: int
    event_id: UUID | None
    event: str


@dataclass(eq=False, slots=True)
class Feed:
    """One room as this process knows it: the number of the last event, the last events, who watches."""

    room: str
    kept: deque[Kept]
    head: int | None = None
    head_id: UUID | None = None
    """Which event the head is, where that is known: after a restore its number may be another's."""
    proved: Head = NOTHING
    """Up to here the log was seen to hold what was told."""
    members: set[Socket] = field(default_factory=lambda: set[Socket]())
    listeners: set[Socket] = field(default_factory=lambda: set[Socket]())
    """Sockets that hear only what is addressed to them: they are in a call, and watch nothing."""
    holds: int = 0
    snapshot: tuple[int, float, str] | None = None
    """A public room's last snapshot: its number, when it was taken, its JSON."""

    def after(self, number: int) -> list[str] | None:
        """The events after `number` up to the head, if all are in memory."""
        if self.head is None or number > self.head:
            return None
        if number == self.head:
            return []
        if not self.kept or self.kept[0].number > number + 1:
            return None
        return [kept.event for kept in self.kept if kept.number > number]

    def unproved(self) -> list[tuple[str, int, UUID]]:
        """What was told and is still to be compared with the log; what was proved last and the head always are.

        A log that has gone back since lost at least the one of them that was its end, whatever stands behind it now.
        """
        told = {
            self.proved,
            *(Head(kept.number, kept.event_id) for kept in self.kept if kept.number > self.proved.number),
        }
        if self.head is not None:
            told.add(Head(self.head, self.head_id))
        return [(self.room, number, event_id) for number, event_id in told if event_id is not None]

    def contradicts(self, number: int, event_id: UUID | None) -> bool:
        """Whether another event than this one was delivered here under its number."""
        if event_id is None or not self.kept or not 0 <= (at := number - self.kept[0].number) < len(self.kept):
            return False
        return self.kept[at].event_id not in (None, event_id)


Heard = Callable[[str, str, dict[str, Any]], None]


class Feeds:
    """All feeds of this process."""

    def __init__(self, database: Database, cipher: Cipher, fanout: Fanout, bounds: Bounds) -> None:
        self._database = database
        self._cipher = cipher
        self._fanout = fanout
        self._bounds = bounds
        self._feeds: dict[str, Feed] = {}
        self._doubts: OrderedDict[str, int] = OrderedDict()
        self._behind: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.channels: Channels | None = None
        self.on_control: Callable[[str, bytes], None] | None = None
        self.on_event: list[Callable[[str, str, str], None]] = []
        """Told room, type and data (JSON) of each event that was delivered."""
        self.on_signal: list[Heard] = []
        """Told room, type and data of each unaddressed signal."""

    def start(self) -> None:
        """Begin to sweep."""
        assert self.channels is not None
        self.channels.want(CONTROL_CHANNEL)
        self._task = asyncio.get_running_loop().create_task(self._sweep(), name="sweep")

    async def stop(self) -> None:
        """Stop sweeping."""
        if self._task is not None:
            await end_tasks([self._task])

    @contextlib.contextmanager
    def held(self, room: str) -> Generator[Feed]:
        """The feed of a room, kept while somebody is about to join it."""
        feed = self._feeds.get(room)
        if feed is None:
            feed = self._feeds[room] = Feed(room, deque(maxlen=self._bounds.frames_kept))
            assert self.channels is not None
            self.channels.want(room_channel(room))
        feed.holds += 1
        try:
            yield feed
        finally:
            feed.holds -= 1
            self._drop_if_unused(feed)

    def is_doubtful(self, room: str, since: int) -> bool:
        """Whether a client's number may come from before the database went back: it needs a snapshot then."""
        return since <= self._doubts.get(room, -1)

    def admit(self, room: str, socket: Socket, seen: Head, replay: Sequence[Kept] = ()) -> None:
        """Let a socket watch from the number seen on: what followed it meanwhile is written to it, in order.

        `replay` is what the log holds just up to that number: in a room that is new here, others who come back ask for
        the same, and have it from memory.
        """
        number = seen.number
        self._fanout.settle(room)
        with self.held(room) as feed:
            feed.members.add(socket)
        socket.rooms.add(room)
        if feed.head is None:
            feed.head, feed.head_id = seen
            feed.kept.extend(replay)
            self._catch_up(room)  # what came while the number was being read was passed over
        missed = feed.after(number)
        if missed:
            self._fanout.write(b"".join(event_frame(event) for event in missed), (socket,))
        elif missed is None:
            self._catch_up(room)

    def listen(self, room: str, socket: Socket) -> None:
        """Let a socket hear what is addressed to it in a room."""
        with self.held(room) as feed:
            feed.listeners.add(socket)

    def stop_listening(self, room: str, socket: Socket) -> None:
        """A socket hears no longer what is addressed to it in a room that it does not watch."""
        feed = self._feeds.get(room)
        if feed is not None:
            feed.listeners.discard(socket)
            self._drop_if_unused(feed)

    def leave(self, room: str, socket: Socket) -> None:
        """Take a socket out of a room."""
        socket.rooms.discard(room)
        feed = self._feeds.get(room)
        if feed is not None:
            self._fanout.settle(room)
            feed.members.discard(socket)
            self._drop_if_unused(feed)

    def forget(self, socket: Socket) -> None:
        """Take a socket out of everything."""
        for room in tuple(socket.rooms):
            self.leave(room, socket)
        for feed in [feed for feed in self._feeds.values() if socket in feed.listeners]:
            feed.listeners.discard(socket)
            self._drop_if_unused(feed)

    def members(self, room: str) -> list[Socket]:
        """Who watches a room here."""
        feed = self._feeds.get(room)
        return list(feed.members) if feed is not None else []

    def hearers(self, room: str) -> set[Socket]:
        """Who watches a room here, or hears what is addressed to them in it."""
        feed = self._feeds.get(room)
        return feed.members | feed.listeners if feed is not None else set()

    def tell_here(self, room: str, type_: str, data: dict[str, Any], sockets: list[Socket]) -> None:
        """Tell sockets of this process what may be lost."""
        self._fanout.settle(room)
        at = rfc3339(self._database.clock())
        self._fanout.write(event_frame(event_object(room, None, type_, compact(data), at)), sockets)

    def heard(self, channel: str, body: bytes) -> None:
        """A message of a channel, signed by the house."""
        if channel == CONTROL_CHANNEL:
            if self.on_control is not None:
                name, _, data = body.partition(b"\n")
                self.on_control(name.decode(), data)
            return
        head_json, _, packed = body.partition(b"\n")
        head = cast("dict[str, Any]", json.loads(head_json.decode()))
        room: str = head["room"]
        feed = self._feeds.get(room)
        if feed is None or room_channel(room) != channel:
            return
        number: int | None = head["o"]
        event_id = UUID(head["id"]) if "id" in head else None
        if number is not None and (feed.head is None or number != feed.head + 1):
            if feed.head is not None and (number > feed.head or feed.contradicts(number, event_id)):
                self._catch_up(room)
            return
        try:
            data = unpack(packed, self._cipher).decode()
        except Unreadable:
            log.warning("an event cannot be opened here", extra={"room": room, "event": head["t"]})
            return
        if number is None:
            self._signal(feed, head, data)
        else:
            self._deliver(feed, Head(number, event_id), head["t"], data, head["at"])

    def confirmed(self, channel: str) -> None:
        """Redis has subscribed a channel: what was published before is in the log."""
        room = channel.removeprefix("amrutam:room:")
        if room in self._feeds:
            self._catch_up(room)

    def _signal(self, feed: Feed, head: dict[str, Any], data: str) -> None:
        frame = event_frame(event_object(feed.room, None, head["t"], data, head["at"]))
        to = head.get("to")
        if to is None:
            self._fanout.post(feed.room, frame, feed.members)
            for tell in self.on_signal:
                tell(feed.room, head["t"], json.loads(data))
            return
        for socket in (*feed.members, *feed.listeners):
            if socket.id == to:
                self._fanout.settle(feed.room)
                self._fanout.write(frame, (socket,))
                return

    def _deliver(self, feed: Feed, head: Head, type_: str, data: str, at: str) -> None:
        event = event_object(feed.room, head.number, type_, data, at)
        feed.head, feed.head_id = head
        feed.kept.append(Kept(*head, event))
        if feed.members:
            self._fanout.post(feed.room, event_frame(event), feed.members)
        for tell in self.on_event:
            tell(feed.room, type_, data)

    def _catch_up(self, room: str) -> None:
        self._behind.add(room)
        self._wake.set()

    async def _sweep(self) -> None:
        """Read the log for rooms that are behind, at once; for all rooms each second."""
        due = time.monotonic() + self._bounds.sweep_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._wake.wait()
            self._wake.clear()
            if time.monotonic() >= due:
                due = time.monotonic() + self._bounds.sweep_seconds
                self._behind.update(self._feeds)
                self._fanout.look_after_the_slow()
            behind, self._behind = self._behind, set()
            heads = {
                room: feed.head
                for room in behind
                if (feed := self._feeds.get(room)) is not None and feed.head is not None
            }
            if not heads:
                continue
            try:
                await self._read_log(heads)
            except Problem as problem:
                log.warning("the log of rooms cannot be read", extra={"code": problem.code})
            except Exception:
                log.exception("the sweep tripped; it goes on")

    async def _read_log(self, heads: dict[str, int]) -> None:
        told = [line for room in heads for line in self._feeds[room].unproved()]
        ends = {room: Head(number, self._feeds[room].head_id) for room, number in heads.items()}

        async def read(tx: Tx) -> tuple[dict[str, Ahead], set[str]]:
            return await rooms_ahead(tx, heads, AT_ONCE), await contradicted(tx, told)

        aheads, gone_back = await self._database.read(read, source="sweep")
        gone_back |= {room for room, ahead in aheads.items() if ahead.seq < heads[room]}
        for room, head in heads.items():
            feed = self._feeds.get(room)
            if feed is None or feed.head is None:
                continue
            feed.proved = max(ends[room], feed.proved, key=lambda end: end.number)
            ahead = aheads.get(room)
            if room in gone_back:
                self._go_back(feed, ahead.seq if ahead is not None else head)
            if ahead is None or room in gone_back:
                continue
            for logged in ahead.events:
                if logged.number <= feed.head:
                    continue
                if logged.number != feed.head + 1:
                    break
                try:
                    data = unpack(logged.data, self._cipher).decode()
                except Unreadable:
                    log.warning("an event cannot be opened here", extra={"room": room, "event": logged.type})
                    break
                self._deliver(feed, Head(logged.number, logged.event_id), logged.type, data, rfc3339(logged.at))
            if feed.head < ahead.seq:
                if len(ahead.events) == AT_ONCE and feed.head == ahead.events[-1].number:
                    self._catch_up(room)  # there is more
                else:
                    self._start_over(feed, ahead.seq, "gap")

    def _go_back(self, feed: Feed, number: int) -> None:
        """The database has lost events that members have seen: their numbers mean others now, or nothing."""
        self._doubts[feed.room] = max(feed.head or 0, number)
        self._doubts.move_to_end(feed.room)
        while len(self._doubts) > DOUBTS_KEPT:
            self._doubts.popitem(last=False)
        feed.proved = Head(number, None)
        self._start_over(feed, number, "restored")

    def _start_over(self, feed: Feed, number: int, reason: str) -> None:
        """The log cannot continue what members have seen: they are told to ask again."""
        log.warning("a room begins anew", extra={"room": feed.room, "reason": reason})
        self._fanout.settle(feed.room)
        feed.head, feed.head_id = number, None
        feed.kept.clear()
        feed.snapshot = None
        for socket in tuple(feed.members):
            self._fanout.tell_resync(socket, feed.room, reason)

    def _drop_if_unused(self, feed: Feed) -> None:
        if feed.holds or feed.members or feed.listeners or self._feeds.get(feed.room) is not feed:
            return
        del self._feeds[feed.room]
        assert self.channels is not None
        self.channels.unwant(room_channel(feed.room))
