"""Which server processes are alive, this one among them, and what each of them tells of itself.

Each tells Redis every few seconds that it lives. One that dies tells nothing more, and is gone within the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, cast

from redis.asyncio import Redis

from realtime.delivery.frames import compact
from realtime.delivery.limits import Bounds
from server.core.breaker import Breaker
from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY

log = logging.getLogger(__name__)
ALIVE = "amrutam:servers"
# On Redis' own clock: the clocks of machines differ.
BEAT = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
Figures = dict[str, int | float | bool]


class Neighbours:
    """The server processes that share this one's Redis."""

    def __init__(self, redis: Redis, bounds: Bounds) -> None:
        self._redis = redis
        self._bounds = bounds
        self._task: asyncio.Task[None] | None = None
        self.me = secrets.token_hex(6)
        self.others: list[str] = []
        """Who else lives, as of the last beat; nobody while Redis is away."""
        self.breaker = Breaker(bounds.redis_pause_seconds)
        self.figures: Callable[[], Figures] = dict
        """What this process tells of itself at each beat."""
        self.on_beat: list[Callable[[], Awaitable[None]]] = []
        """Told after each beat that Redis answered; may raise one of REDIS_AWAY."""

    def start(self) -> None:
        """Begin to beat."""
        self._task = asyncio.get_running_loop().create_task(self._beats(), name="neighbours")

    async def stop(self) -> None:
        """Stop, and be gone at once."""
        if self._task is not None:
            await end_tasks([self._task])
        pipe = cast("Any", self._redis).pipeline(transaction=False)
        pipe.zrem(ALIVE, self.me)
        pipe.unlink(_figures_key(self.me))
        with contextlib.suppress(*REDIS_AWAY):
            await pipe.execute()

    async def everybody(self) -> dict[str, Figures]:
        """What each living process told last, by its id; this one's as they are now. Raises one of REDIS_AWAY."""
        others = list(self.others)
        pipe = cast("Any", self._redis).pipeline(transaction=False)
        for process in others:
            pipe.get(_figures_key(process))
        told = cast("list[bytes | None]", await pipe.execute()) if others else []
        found: dict[str, Figures] = {self.me: self.figures()}
        for process, figures in zip(others, told, strict=True):
            if figures is not None:
                found[process] = json.loads(figures)
        return found

    async def _beats(self) -> None:
        while True:
            try:
                await self._beat()
            except REDIS_AWAY as error:
                self.others = []
                if self.breaker.failed():
                    log.warning("Redis is away: each process counts its own sockets", extra={"error": str(error)[:200]})
            except Exception:
                log.exception("a beat tripped; it goes on")
            await asyncio.sleep(
                self._bounds.redis_pause_seconds if self.breaker.is_broken else self._bounds.beat_seconds
            )

    async def _beat(self) -> None:
        lasts = self._bounds.beat_lasts_seconds
        pipe = cast("Any", self._redis).pipeline(transaction=False)
        pipe.eval(BEAT, 1, ALIVE, self.me, lasts)
        pipe.set(_figures_key(self.me), compact(self.figures()), ex=lasts)
        alive, _ = await pipe.execute()
        self.breaker.worked()
        self.others = [process for process in (member.decode() for member in alive) if process != self.me]
        for tell in self.on_beat:
            await tell()


def _figures_key(process: str) -> str:
    return f"amrutam:server:{process}"
