"""The herd's lock: SET NX PX around a transaction, so that the losers of a hot slot are told at the door.

It is never the proof. With Redis away, or the lease lost, the conditional update in the database decides alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from redis.asyncio import Redis
from redis.exceptions import LockNotOwnedError

from server.core.valkey import REDIS_AWAY

LEASE_SECONDS = 5.0


@contextlib.asynccontextmanager
async def herd_lock(redis: Redis, name: str) -> AsyncGenerator[bool]:
    """Hold the lock `name` while the block runs. Yields False when someone else holds it just now."""
    lock = redis.lock(f"amrutam:lock:{name}", timeout=LEASE_SECONDS, blocking=False)
    try:
        held = await lock.acquire()
    except REDIS_AWAY:
        yield True
        return
    if not held:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(LockNotOwnedError, *REDIS_AWAY):
            await lock.release()
