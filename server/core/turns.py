"""Turns at something that so many can have at a time: first come first served, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType


class Turns:
    """`async with` is a turn; it gives the seconds that are left of the longest wait. Raises TimeoutError after it."""

    def __init__(self, places: int, longest_wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(places)
        self._longest_wait_seconds = longest_wait_seconds

    async def __aenter__(self) -> float:
        if not self._free.locked():
            await self._free.acquire()  # does not wait: the common way has no clock to set
            return self._longest_wait_seconds
        came = time.monotonic()
        async with asyncio.timeout(self._longest_wait_seconds):
            await self._free.acquire()
        # Enough to be given what is free, however late it is.
        return max(0.1, self._longest_wait_seconds - (time.monotonic() - came))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.release()
