"""The herd's lock: SET NX PX around a transaction, so that the losers of a hot slot are told at the door.

It is never the proof. With Redis away, or the lease lost, the conditional update in the database decides alone. The
release (compare and delete) travels with what the publisher carries after the commit: nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator

from server.core.pipe import Pipe
from server.core.publish import Publisher
from server.core.valkey import REDIS_AWAY

LEASE_MS = 5000
LONGEST_WAIT_SECONDS = 1.0


class HerdLocks:
    """The locks as one process takes them: of its own callers one asks Redis, the rest wait for that one."""

    def __init__(self, pipe: Pipe, publisher: Publisher) -> None:
        self._pipe = pipe
        self._publisher = publisher
        self._ahead: dict[str, asyncio.Event] = {}

    @contextlib.asynccontextmanager
    async def hold(self, name: str) -> AsyncGenerator[bool]:
        """Hold the lock `name` while the block runs; yields whether it is held.

        Who does not get it waits until it is free, a second at most, and then goes on without it: by then the row says
        who won, and reading it is quick.
        """
        ahead = self._ahead.get(name)
        if ahead is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                    await ahead.wait()
            yield False
            return
        over = self._ahead[name] = asyncio.Event()
        key, token = f"amrutam:lock:{name}", secrets.token_hex(8)
        taken = False
        try:
            try:
                [answer] = await self._pipe.ask([("SET", key, token, "NX", "PX", LEASE_MS)])
                if isinstance(answer, Exception):
                    raise answer
                taken = answer is not None
                if not taken:
                    await self._until_free(key)
                held = taken
            except REDIS_AWAY:
                held = True
            yield held
        finally:
            if taken:
                self._publisher.release(key, token)
            del self._ahead[name]
            over.set()

    async def _until_free(self, key: str) -> None:
        pause = 0.01
        waited = 0.0
        while waited < LONGEST_WAIT_SECONDS:
            await asyncio.sleep(pause)
            waited += pause
            try:
                if await self._pipe.ask([("EXISTS", key)]) == [0]:
                    return
            except REDIS_AWAY:
                return
            pause = min(pause * 2, 0.08)
