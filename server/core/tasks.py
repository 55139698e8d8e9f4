"""Ending tasks for certain. A cancellation can be lost (Python 3.11's wait_for drops one that arrives as its future
completes, and asyncpg's pool waits that way), so it is repeated until every task has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.5


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel these and wait until all have ended, whatever they end with.

    Who is cancelled in here goes on to the end and is cancelled then: a task that ends others is itself cancelled
    again and again, and what it left behind would keep the process from ending.
    """
    pending = {task for task in tasks if task is not asyncio.current_task()}
    interrupted = False
    while pending:
        for task in pending:
            task.cancel()
        try:
            _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
        except asyncio.CancelledError:
            interrupted = True
            pending = {task for task in pending if not task.done()}
    if interrupted:
        raise asyncio.CancelledError
