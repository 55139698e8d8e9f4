"""Publishing after the commit, off the request's path: frames to their rooms' own channels, a nudge to the relay.

Redis only carries. What is not published (a crash, Redis away) is found by the sweeps of log and outbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic_core import to_json
from redis.asyncio import Redis

from server.core.cipher import Cipher
from server.core.events import Event, Signal
from server.core.models import rfc3339
from server.core.outbox import Frame, pack
from server.core.pipe import Command, pipe_to
from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY

log = logging.getLogger(__name__)
OUTBOX_CHANNEL = "amrutam:outbox"
CONTROL_CHANNEL = "amrutam:control"
NUDGE: Command = ("SPUBLISH", OUTBOX_CHANNEL, b"1")
COMPARE_AND_DELETE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
MOST_WAITING = 10_000
MOST_TOGETHER = 200
# How long what is kept of public lists can outlive an event that nobody could tell Redis of: a second, with the quarter
# of it that an answer of Redis' may be under way.
LISTS_LAST_MS = 750


def room_channel(room: str) -> str:
    """The sharded channel of a room: works on one server and on a cluster."""
    return f"amrutam:room:{room}"


def seal_envelope(cipher: Cipher, head: Mapping[str, object], data: bytes) -> bytes:
    """A message for a room's channel: signature, a JSON head, a line break, the packed data."""
    body = to_json(head) + b"\n" + data
    return cipher.sign(body) + body


class Publisher:
    """Carries frames and signals to Redis in the order they were handed over, in pipelines."""

    def __init__(self, redis: Redis, cipher: Cipher) -> None:
        self._pipe = pipe_to(redis)
        self._cipher = cipher
        self._waiting: deque[Command] = deque()
        self._wanted, self._idle = asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._dropping: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Publisher:
        self._task = asyncio.create_task(self._carry(), name="publisher")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await self._idle.wait()
            await end_tasks([self._task])
        await self._pipe.aclose()

    def hand(self, frames: Sequence[Frame], *, relay: bool) -> None:
        """Publish these after a commit; `relay` also tells the worker that the outbox has something."""
        for frame in frames:
            head = {
                "o": frame.number,
                "t": frame.type,
                "at": rfc3339(frame.at),
                "room": frame.room,
                "id": frame.event_id.hex,
            }
            self._tell(room_channel(frame.room), seal_envelope(self._cipher, head, frame.data))
        if relay:
            self._put(NUDGE)

    def signal(self, signal: Signal, at: datetime, *, to: str | None = None) -> None:
        """Publish what may be lost; `to` addresses one socket of the room."""
        data = pack(signal, self._cipher)
        for room in signal.room_names():
            head = {"o": None, "t": signal.name, "at": rfc3339(at), "room": room, "to": to}
            self._tell(room_channel(room), seal_envelope(self._cipher, head, data))

    def raw(self, room: str, type_: str, data: dict[str, object], at: datetime, *, to: str | None) -> None:
        """Publish an addressed message that has no declaration of its own (video's describe and candidate)."""
        packed = b"S" + self._cipher.seal_system("room", to_json(data))
        head = {"o": None, "t": type_, "at": rfc3339(at), "room": room, "to": to}
        self._tell(room_channel(room), seal_envelope(self._cipher, head, packed))

    def release(self, key: str, token: str) -> None:
        """Free a lock that holds this token."""
        self._put(("EVAL", COMPARE_AND_DELETE, 1, key, token))

    def drop(self, events: Sequence[Event]) -> None:
        """After a commit, before anybody hears of it: drop what it made stale."""
        for key in dict.fromkeys(key for event in events for key in event.stale_keys()):
            self._dropping[key] += 1
            if not self._put(("UNLINK", key)):
                self._dropped_late(key)

    def is_dropping(self, key: str) -> bool:
        """Whether what Redis has under this key may be what a commit of this very process made stale."""
        return key in self._dropping

    def tell(self, events: Sequence[Event]) -> None:
        """After a commit: tell every process what each must hear at once."""
        for event in events:
            if type(event).control:
                body = event.name.encode() + b"\n" + event.model_dump_json().encode()
                self._tell(CONTROL_CHANNEL, self._cipher.sign(body) + body)

    def _tell(self, channel: str, message: bytes) -> None:
        self._put(("SPUBLISH", channel, message))

    def _put(self, command: Command) -> bool:
        if len(self._waiting) >= MOST_WAITING:  # Redis is long away: the log's sweep delivers instead
            return False
        self._waiting.append(command)
        self._wanted.set()
        self._idle.clear()
        return True

    def _dropped(self, key: str) -> None:
        self._dropping[key] -= 1
        if self._dropping[key] <= 0:
            del self._dropping[key]

    def _dropped_late(self, key: str) -> None:
        """Redis was not told: what it has under the key lives out its time, and here nobody believes it till then."""
        asyncio.get_running_loop().call_later(LISTS_LAST_MS / 1000, self._dropped, key)

    async def _carry(self) -> None:
        while True:
            await self._wanted.wait()
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
            dropped = [str(key) for what, key, *_ in batch if what == "UNLINK"]
            others = [command for command in batch if command[0] != "UNLINK" and command is not NUDGE]
            # What became stale goes before anything is told, and once, however many of one moment made it so.
            unlinked: list[Command] = [("UNLINK", key) for key in dict.fromkeys(dropped)]
            commands = [*unlinked, *others, *([NUDGE] if NUDGE in batch else [])]
            try:
                for answer in await self._pipe.ask(commands):
                    if isinstance(answer, Exception):
                        raise answer
                for key in dropped:
                    self._dropped(key)
            except REDIS_AWAY:
                log.warning("not published; the sweep will deliver", extra={"messages": len(batch)})
                for key in dropped:
                    self._dropped_late(key)
                await asyncio.sleep(0.1)
            if not self._waiting:
                self._wanted.clear()
                self._idle.set()
