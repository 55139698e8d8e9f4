"""Listening to Redis: sharded channels, one connection a process, subscribed again whatever happens to it.

Nothing that arrives here is believed before its signature is checked, and nothing that does not arrive is lost: the
log's sweep finds it. So errors end in a fresh connection and a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any, Protocol, cast

from redis.asyncio import Redis

from server.core.cipher import Cipher
from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY

log = logging.getLogger(__name__)
SIGNATURE = 16
PING_SECONDS = 2.0
DEAF_SECONDS = 5.0
AT_ONCE = 100


class Ear(Protocol):
    """Who is told what the channels say."""

    def heard(self, channel: str, body: bytes) -> None:
        """A message of ours, its signature checked and taken off."""
        ...

    def confirmed(self, channel: str) -> None:
        """Redis says that the channel is subscribed, first or again: what came before may be missing."""
        ...


class Channels:
    """The channels this process wants to hear."""

    def __init__(self, redis: Redis, cipher: Cipher, ear: Ear) -> None:
        self._redis = redis
        self._cipher = cipher
        self._ear = ear
        self._wanted: set[str] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._heard_at = 0.0
        self.garbage = 0
        """Messages that were not ours."""

    def want(self, channel: str) -> None:
        """Hear this channel from now on; the ear is told when Redis has confirmed."""
        self._wanted.add(channel)
        self._changed.set()

    def unwant(self, channel: str) -> None:
        """Hear this channel no more."""
        self._wanted.discard(channel)
        self._changed.set()

    def start(self) -> None:
        """Begin to listen, in a task of its own."""
        self._task = asyncio.get_running_loop().create_task(self._listen(), name="channels")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            await end_tasks([self._task])

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            began = time.monotonic()
            pubsub = cast("Any", self._redis).pubsub()
            tasks: list[asyncio.Task[None]] = []
            try:
                self._changed.set()
                self._heard_at = time.monotonic()
                # The first subscription opens the connection that both tasks then use.
                await pubsub.connect()
                tasks = [asyncio.create_task(self._follow(pubsub)), asyncio.create_task(self._read(pubsub))]
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            except REDIS_AWAY as error:
                log.warning("channels are down; the sweep delivers", extra={"error": type(error).__name__})
            except (ValueError, TypeError, IndexError, AttributeError, RuntimeError):
                log.exception("the listener tripped; it begins again")
            finally:
                await end_tasks(tasks)
                with contextlib.suppress(*REDIS_AWAY):
                    await pubsub.aclose()
            pause = 0.1 if time.monotonic() - began > 5 else min(pause * 2, 2.0)
            await asyncio.sleep(pause)

    async def _follow(self, pubsub: Any) -> None:
        """Keep Redis' subscriptions equal to what is wanted, and ping, so that a silent connection is noticed."""
        have: set[str] = set()
        while True:
            self._changed.clear()
            more, less = sorted(self._wanted - have), sorted(have - self._wanted)
            for start in range(0, len(more), AT_ONCE):
                await pubsub.ssubscribe(*more[start : start + AT_ONCE])
            if less:
                await pubsub.sunsubscribe(*less)
            have = (have | set(more)) - set(less)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._changed.wait()
                    continue
            if time.monotonic() - self._heard_at > DEAF_SECONDS:
                raise TimeoutError("no answer to our pings")
            if have:
                await pubsub.ping()

    async def _read(self, pubsub: Any) -> None:
        while True:
            if not pubsub.subscribed:
                await asyncio.sleep(0.02)
                continue
            message: dict[str, Any] | None = await pubsub.get_message(timeout=DEAF_SECONDS)
            if message is None:
                continue
            self._heard_at = time.monotonic()
            kind = message["type"]
            if kind not in ("smessage", "ssubscribe"):
                continue
            channel = cast("bytes", message["channel"]).decode("utf-8", "replace")
            if kind == "ssubscribe":
                self._ear.confirmed(channel)
                continue
            data = cast("bytes", message["data"])
            body = data[SIGNATURE:]
            if not self._cipher.signed(data[:SIGNATURE], body):
                self.garbage += 1
                if self.garbage in (1, 10, 100) or self.garbage % 1000 == 0:
                    log.warning("a message on a channel is not ours", extra={"count": self.garbage})
                continue
            self._ear.heard(channel, body)
