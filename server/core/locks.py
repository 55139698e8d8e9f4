"""The herd's lock: SET NX PX around a transaction, so that the losers of a hot slot are told at the door.

It is never the proof. With Redis away, or the lease lost, the conditional update in the database decides alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from redis.asyncio import Redis
from redis.exceptions import LockNotOwnedError

from server.core.valkey import REDIS_AWAY

LEASE_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 1.0


@contextlib.asynccontextmanager
async def herd_lock(redis: Redis, name: str) -> AsyncGenerator[bool]:
    """Hold the lock `name` while the block runs; yields whether it is held.

    Who does not get it waits until it is free, a second at most, and then goes on without it: by then the row says
    who won, and reading it is quick.
    """
    lock = redis.lock(f"amrutam:lock:{name}", timeout=LEASE_SECONDS, blocking=False)
    try:
        held = await lock.acquire()
    except REDIS_AWAY:
        yield True
        return
    if not held:
        await _wait_until_free(redis, lock.name)
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(LockNotOwnedError, *REDIS_AWAY):
            await lock.release()


async def _wait_until_free(redis: Redis, key: str | bytes | memoryview) -> None:
    pause = 0.01
    waited = 0.0
    while waited < LONGEST_WAIT_SECONDS:
        await asyncio.sleep(pause)
        waited += pause
        try:
            if not await redis.exists(key):
                return
        except REDIS_AWAY:
            return
        pause = min(pause * 2, 0.08)
