"""Presence: who is in a room as what, kept in Redis with an expiry that every process renews for its own people.

A process that dies renews nothing, so its people are gone within the expiry. With Redis away nobody is said to have
left: what is not known is not told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis

from realtime.delivery.connections import Socket
from realtime.delivery.feed import Feeds
from realtime.delivery.limits import Bounds
from realtime.delivery.live_room import PresenceRule, Rooms
from server.core.clock import Clock
from server.core.errors import Problem
from server.core.publish import Publisher
from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY

log = logging.getLogger(__name__)
LINGER_SECONDS = 3.0
"""A reload is back within this, and nobody is told that somebody left."""


@dataclass(slots=True)
class _Watched:
    """What this process knows of one room."""

    here: dict[str, set[Socket]] = field(default_factory=lambda: defaultdict[str, set[Socket]](set))
    known: dict[str, bool] = field(default_factory=lambda: dict[str, bool]())
    away_since: dict[str, float] = field(default_factory=lambda: dict[str, float]())
    newcomers: set[Socket] = field(default_factory=lambda: set[Socket]())


class PresenceBook:
    """Presence in the rooms that are watched here."""

    def __init__(
        self, redis: Redis, publisher: Publisher, feeds: Feeds, rooms: Rooms, clock: Clock, bounds: Bounds
    ) -> None:
        self._redis = redis
        self._publisher = publisher
        self._feeds = feeds
        self._rooms = rooms
        self._clock = clock
        self._bounds = bounds
        self._process = secrets.token_hex(6)
        self._watched: dict[str, _Watched] = {}
        self._touched: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.on_away: Callable[[list[tuple[str, str]]], Awaitable[None]] | None = None
        """Told at each round: rooms and roles that have been away for longer than the grace period."""
        rooms.on_joined.append(self._joined)
        rooms.on_left.append(self._left)
        feeds.on_signal.append(self._heard)

    def start(self) -> None:
        """Begin to renew."""
        self._task = asyncio.get_running_loop().create_task(self._rounds(), name="presence")

    async def stop(self) -> None:
        """Stop, and take this process's people out."""
        if self._task is not None:
            await end_tasks([self._task])
        pipe = self._redis.pipeline(transaction=False)
        for room, watched in self._watched.items():
            for role in watched.here:
                pipe.zrem(_key(room), self._member(role))
        with contextlib.suppress(*REDIS_AWAY):
            await pipe.execute()

    async def is_present(self, room: str, role: str) -> bool:
        """Whether anybody is in a room as this role, on whichever process. Raises one of REDIS_AWAY."""
        now = self._clock().timestamp()
        found = cast("list[bytes]", await cast("Any", self._redis).zrangebyscore(_key(room), now, "+inf"))
        return any(member.decode().partition("|")[0] == role for member in found)

    def _long_away(self) -> list[tuple[str, str]]:
        before = time.monotonic() - self._bounds.grace_seconds
        return [
            (room, role)
            for room, watched in self._watched.items()
            for role, since in watched.away_since.items()
            if since <= before
        ]

    def _rule(self, room: str) -> PresenceRule | None:
        kind = self._rooms.kinds.get(room.partition(":")[0])
        return kind.presence if kind is not None else None

    def _joined(self, socket: Socket, room: str) -> None:
        rule = self._rule(room)
        if rule is None:
            return
        watched = self._watched.setdefault(room, _Watched())
        role = rule.role_of(socket.actor)
        if role is not None:
            watched.here[role].add(socket)
        watched.newcomers.add(socket)
        self._touch(room)

    def _left(self, socket: Socket, room: str) -> None:
        watched = self._watched.get(room)
        if watched is None:
            return
        watched.newcomers.discard(socket)
        for people in watched.here.values():
            people.discard(socket)
        asyncio.get_running_loop().call_later(LINGER_SECONDS, self._touch, room)

    def _heard(self, room: str, type_: str, data: dict[str, Any]) -> None:
        watched = self._watched.get(room)
        if watched is not None and type_ == "presence":
            self._note(watched, str(data["role"]), is_here=bool(data["present"]))

    def _touch(self, room: str) -> None:
        self._touched.add(room)
        self._wake.set()

    async def _rounds(self) -> None:
        due = time.monotonic() + self._bounds.presence_seconds
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._wake.wait()
            self._wake.clear()
            caused_here, self._touched = self._touched, set()
            rooms = set(caused_here)
            is_round = time.monotonic() >= due
            if is_round:
                due = time.monotonic() + self._bounds.presence_seconds
                rooms.update(self._watched)
            try:
                await self._renew(sorted(rooms), caused_here)
                if is_round and self.on_away is not None:
                    await self.on_away(self._long_away())
            except REDIS_AWAY:
                continue
            except Problem as problem:
                log.warning("the deserted could not be put back", extra={"code": problem.code})
            except Exception:
                log.exception("a round of presence tripped; it goes on")

    async def _renew(self, rooms: list[str], caused_here: set[str]) -> None:
        """Renew our people and read everybody's, in one pipeline."""
        rooms = [room for room in rooms if room in self._watched]
        if not rooms:
            return
        now = self._clock().timestamp()
        pipe = cast("Any", self._redis).pipeline(transaction=False)
        for room in rooms:
            key = _key(room)
            for role, people in self._watched[room].here.items():
                if people:
                    pipe.zadd(key, {self._member(role): now + self._bounds.presence_lasts_seconds})
                else:
                    pipe.zrem(key, self._member(role))
            pipe.expire(key, 120)
            pipe.zrangebyscore(key, now, "+inf")
        answers = cast("list[object]", await pipe.execute())
        lists = [cast("list[bytes]", answer) for answer in answers if isinstance(answer, list)]
        for room, members in zip(rooms, lists, strict=True):
            roles = {member.decode().partition("|")[0] for member in members}
            self._compare(room, roles, is_ours=room in caused_here)

    def _compare(self, room: str, here: set[str], *, is_ours: bool) -> None:
        watched = self._watched.get(room)
        rule = self._rule(room)
        if watched is None or rule is None:
            return
        _, id_ = self._rooms.find(room)
        for role in rule.roles:
            is_here = role in here
            before = watched.known.get(role)
            self._note(watched, role, is_here=is_here)
            signal = rule.signal(id_, role, is_here)
            if signal is None:
                continue
            # The first look of a process at a room finds things as they are; only its own people are news then.
            is_news = before != is_here if before is not None else is_here and bool(watched.here.get(role))
            if is_news and is_ours:
                self._publisher.signal(signal, self._clock())
            elif is_news:
                self._feeds.tell_here(room, signal.name, signal.wire(), self._feeds.members(room))
            elif is_here and watched.newcomers:
                self._feeds.tell_here(room, signal.name, signal.wire(), list(watched.newcomers))
        watched.newcomers.clear()
        if not self._feeds.members(room) and not any(watched.here.values()):
            del self._watched[room]

    def _note(self, watched: _Watched, role: str, *, is_here: bool) -> None:
        watched.known[role] = is_here
        if is_here:
            watched.away_since.pop(role, None)
        else:
            watched.away_since.setdefault(role, time.monotonic())

    def _member(self, role: str) -> str:
        return f"{role}|{self._process}"


def _key(room: str) -> str:
    return f"amrutam:presence:{{{room}}}"
