"""Hearing sharded channels of Redis: one connection a node, subscribed again whatever happens to it.

On one server there is one node. On a cluster a channel belongs to the node that has its slot, and moves with it: a
node says so by unsubscribing us, by MOVED, or by dying. Nothing that does not arrive is lost (logs and sweeps find
it), so every error ends in a fresh look at the cluster, a fresh connection and a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import MovedError

from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY, primaries, slot_of

log = logging.getLogger(__name__)
PING_SECONDS = 2.0
DEAF_SECONDS = 5.0
LOOK_SECONDS = 5.0
HASTE_SECONDS = 0.25
AT_ONCE = 100
Message = Callable[[str, bytes], None]
Confirmed = Callable[[str], None]


class Subscriptions:
    """The channels that this process wants to hear."""

    def __init__(self, redis: Redis, *, message: Message, confirmed: Confirmed) -> None:
        self._redis = redis
        self._message = message
        self._confirmed = confirmed
        self._wanted: set[str] = set()
        self._lines: dict[str, _Line] = {}
        self._changed = asyncio.Event()
        self._stale = False
        self._task: asyncio.Task[None] | None = None

    def want(self, channel: str) -> None:
        """Hear this channel from now on; `confirmed` is told when Redis has confirmed, and each time it does again."""
        self._wanted.add(channel)
        self._changed.set()

    def unwant(self, channel: str) -> None:
        """Hear this channel no more."""
        self._wanted.discard(channel)
        self._changed.set()

    def start(self) -> None:
        """Begin to listen, in a task of its own."""
        self._task = asyncio.get_running_loop().create_task(self._distribute(), name="subscriptions")

    async def stop(self) -> None:
        """Stop listening."""
        if self._task is not None:
            await end_tasks([self._task])
        for line in self._lines.values():
            await line.stop()
        self._lines.clear()

    async def _distribute(self) -> None:
        """Give every channel to the line of the node that has it, as channels and nodes change."""
        if not isinstance(cast("object", self._redis), RedisCluster):
            line = self._lines[""] = _Line(self._redis, AT_ONCE, self._message, self._confirmed, lambda: None)
            while True:
                self._changed.clear()
                line.want(set(self._wanted))
                await self._changed.wait()
        nodes: dict[int, Redis] = {}
        look_due = 0.0
        while True:
            if self._stale or time.monotonic() >= look_due:
                self._stale = False
                look_due = time.monotonic() + LOOK_SECONDS
                nodes = await self._look() or nodes
            self._changed.clear()
            await self._hand_out(nodes)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS if nodes else HASTE_SECONDS):
                    await self._changed.wait()
            if self._stale:
                await asyncio.sleep(HASTE_SECONDS)  # what moves is not asked for again and again while it moves

    async def _look(self) -> dict[int, Redis]:
        """Which node has which slot. Empty when nobody answers."""
        try:
            return await primaries(self._redis)
        except REDIS_AWAY as error:
            log.warning("the cluster cannot be asked", extra={"error": type(error).__name__})
            return {}

    async def _hand_out(self, nodes: dict[int, Redis]) -> None:
        clients = {_name(client): client for client in set(nodes.values())}
        shares: dict[str, set[str]] = defaultdict(set)
        for channel in self._wanted:
            client = nodes.get(slot_of(channel))
            if client is not None:
                shares[_name(client)].add(channel)
        for name in [name for name in self._lines if name not in clients]:
            await self._lines.pop(name).stop()
        for name, client in clients.items():
            line = self._lines.get(name)
            if line is None:
                # On a cluster the channels of one command must share a slot.
                line = self._lines[name] = _Line(client, 1, self._message, self._confirmed, self._look_again)
            line.want(shares[name])

    def _look_again(self) -> None:
        self._stale = True
        self._changed.set()


class _Line:
    """One node's connection and the channels on it."""

    def __init__(
        self, redis: Redis, together: int, message: Message, confirmed: Confirmed, moved: Callable[[], None]
    ) -> None:
        self._redis = redis
        self._together = together
        self._message = message
        self._confirmed = confirmed
        self._moved = moved
        self._wanted: set[str] = set()
        self._have: set[str] = set()
        self._changed = asyncio.Event()
        self._heard_at = 0.0
        self._task = asyncio.get_running_loop().create_task(self._listen(), name="line")

    def want(self, channels: set[str]) -> None:
        """Hear exactly these."""
        if channels != self._wanted:
            self._wanted = channels
            self._changed.set()

    async def stop(self) -> None:
        """Hang up."""
        await end_tasks([self._task])

    async def _listen(self) -> None:
        pause = 0.1
        while True:
            began = time.monotonic()
            pubsub = cast("Any", self._redis).pubsub(push_handler_func=_as_it_is)
            tasks: list[asyncio.Task[None]] = []
            try:
                self._have = set()
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
                self._moved()
            except (ValueError, TypeError, IndexError):
                log.exception("the listener tripped; it begins again")
            finally:
                await end_tasks(tasks)
                with contextlib.suppress(*REDIS_AWAY):
                    await pubsub.aclose()
            pause = 0.1 if time.monotonic() - began > 5 else min(pause * 2, 2.0)
            await asyncio.sleep(pause)

    async def _follow(self, pubsub: Any) -> None:
        """Keep Redis' subscriptions equal to what is wanted, and ping, so that a silent connection is noticed."""
        while True:
            self._changed.clear()
            more, less = sorted(self._wanted - self._have), sorted(self._have - self._wanted)
            self._have = (self._have | set(more)) - set(less)
            for start in range(0, len(more), self._together):
                await pubsub.ssubscribe(*more[start : start + self._together])
            for start in range(0, len(less), self._together):
                await pubsub.sunsubscribe(*less[start : start + self._together])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_SECONDS):
                    await self._changed.wait()
                    continue
            if time.monotonic() - self._heard_at > DEAF_SECONDS:
                raise TimeoutError("no answer to our pings")
            if self._have:
                await pubsub.ping()

    async def _read(self, pubsub: Any) -> None:
        """Messages come from the connection itself, and only the rest passes through redis-py's books: a timer, a
        retry and telemetry around each message cost it more than we need for the message (measured 2026-11).
        """
        while True:
            if not pubsub.subscribed:
                self._heard_at = time.monotonic()  # nothing was asked, so nothing is missed
                await asyncio.sleep(0.02)
                continue
            try:
                # No time-out here: _follow notices silence.
                said: Any = await pubsub.connection.read_response(
                    timeout=math.inf, disconnect_on_error=False, push_request=True
                )
            except MovedError as moved:
                self._gone({channel for channel in self._have if slot_of(channel) == moved.slot_id})
                continue
            self._heard_at = time.monotonic()
            if isinstance(said, list) and said[0] == b"smessage":
                self._message(cast("bytes", said[1]).decode("utf-8", "replace"), cast("bytes", said[2]))
                continue
            message: dict[str, Any] | None = await pubsub.handle_message(said)
            if message is None or message["type"] == "pong":
                continue
            channel = cast("bytes", message["channel"]).decode("utf-8", "replace")
            if message["type"] == "ssubscribe":
                self._confirmed(channel)
            elif message["type"] == "sunsubscribe" and channel in self._have:
                self._gone({channel})  # not asked for: its slot has moved to another node

    def _gone(self, channels: set[str]) -> None:
        self._have -= channels
        self._moved()


async def _as_it_is(said: object) -> object:
    """In the place of redis-py's own handler, which words each message for a debugging log that nobody reads."""
    return said


def _name(client: Redis) -> str:
    at = client.connection_pool.connection_kwargs
    return f"{at.get('host')}:{at.get('port')}"


__all__ = ["Subscriptions"]
