"""Trimming: what has served its time. Room logs keep their last thousand or a day, keys two days, done work a week."""

from __future__ import annotations

from server.core.tx import Tx
from worker.jobs.queries import trim_plumbing


async def trim(tx: Tx) -> bool:
    """Delete it all, in one transaction."""
    await trim_plumbing(tx)
    return False
