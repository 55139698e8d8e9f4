"""Keeps children running: starts again what ended by itself, and ends all in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from server.up.child import Child
from server.up.folder import Refused

Say = Callable[[str], None]
Start = Callable[[], Awaitable[Child]]

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 30.0  # who ran this long starts again at once


@dataclass
class _Kept:
    name: str
    layer: int
    child: Child | None
    task: asyncio.Task[None]


class Supervisor:
    """The children of one `up`. Lower layers are ended after higher ones."""

    def __init__(self, say: Say, started: Callable[[str, int], None]) -> None:
        self._say = say
        self._started = started
        self._kept: list[_Kept] = []
        self._stopping = False
        self._gave_up: Child | None = None

    async def keep(self, name: str, start: Start, *, layer: int) -> None:
        """Start a child and keep it running. Raises Refused if the first start fails."""
        child = await start()
        self._started(name, child.pid)
        kept = _Kept(name, layer, child, asyncio.create_task(asyncio.sleep(0)))
        self._kept.append(kept)
        kept.task = asyncio.create_task(self._again_and_again(kept, start), name=f"keep {name}")

    def gave_up(self) -> Child | None:
        """A child that ended by itself, not by a signal, since it was first started; None if there is none."""
        return self._gave_up

    async def stop(self, hurry: asyncio.Event) -> None:
        """End the children layer by layer; once `hurry` is set, without waiting for what they still do."""
        self._stopping = True
        for layer in sorted({kept.layer for kept in self._kept}, reverse=True):
            async with asyncio.TaskGroup() as group:
                for kept in self._kept:
                    if kept.layer == layer:
                        group.create_task(self._end(kept, hurry))

    async def _again_and_again(self, kept: _Kept, start: Start) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            if kept.child is not None:
                code = await kept.child.ended()
                if self._stopping:
                    return
                if code >= 0:
                    self._gave_up = kept.child
                if time.monotonic() - began > STEADY_SECONDS:
                    pause = FIRST_PAUSE_SECONDS
                self._say(f"{kept.name} {how_it_ended(code)}; starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            try:
                kept.child = await start()
                self._started(kept.name, kept.child.pid)
            except (Refused, OSError) as error:
                kept.child = None
                self._say(f"{kept.name}: {error}; trying again in {pause:.1f} s")

    async def _end(self, kept: _Kept, hurry: asyncio.Event) -> None:
        child = kept.child
        if child is None or child.returncode is not None:
            # Between two starts: nothing runs, or a start is under way and ends here.
            kept.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await kept.task
            child = kept.child
        if child is None or child.returncode is not None:
            return
        stopping = asyncio.create_task(child.stop())
        hurried = asyncio.create_task(hurry.wait())
        await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            # PostgreSQL's quick way out keeps what was committed; the others have nothing to lose.
            child.send(signal.SIGQUIT if child.program.stop_signal is signal.SIGINT else signal.SIGKILL)
        hurried.cancel()
        await stopping


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
