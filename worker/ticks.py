"""Ticks: loops in every worker, each run by one worker at a time behind an advisory lock. Rows need no leader."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from server.core.database import Database
from server.core.errors import Problem
from server.core.tx import Tx
from worker import queries

log = logging.getLogger(__name__)
Job = Callable[[Tx], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Tick:
    """A job in one transaction, and the pause between two runs of it."""

    name: str
    every_seconds: float
    job: Job


async def keep_ticking(database: Database, tick: Tick) -> None:
    """Run the tick for ever. A failure is logged and tried again after the pause."""

    async def once(tx: Tx) -> bool:
        if not await queries.take_tick(tx, tick.name):
            return False
        return bool(await tick.job(tx))

    while True:
        more = False
        try:
            more = await database.write(once, source="tick", request_id=f"tick-{tick.name}")
        except Problem as problem:
            log.warning("a tick failed", extra={"step": tick.name, "error": problem.code})
        except Exception as error:
            log.exception("a tick failed", extra={"step": tick.name, "error": type(error).__name__})
        # A job that says there is more (it takes so many rows a run) goes on at once.
        await asyncio.sleep(0 if more else tick.every_seconds)
