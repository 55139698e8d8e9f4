"""Ending tasks for certain. A cancellation can be lost (Python 3.11's wait_for drops one that arrives as its future
completes, and asyncpg's pool waits that way), so it is repeated until every task has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.5


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel these and wait until all have ended, whatever they end with."""
    pending = {task for task in tasks if task is not asyncio.current_task()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_SECONDS)
