"""Partitions: the months ahead exist before they begin; the default one stays empty; old months of the trail go."""

from __future__ import annotations

import logging

import asyncpg

from server.core.partitions import detach_one, stray_rows
from server.core.settings import Settings
from server.core.tx import Tx
from worker.jobs.queries import make_months

log = logging.getLogger(__name__)
MONTHS = 13


async def make_partitions(tx: Tx) -> bool:
    """Make the partitions of this month and the twelve after it; an alarm when the default one is used."""
    made = await make_months(tx, tx.now.date(), MONTHS)
    if made:
        log.info("partitions made", extra={"made": made})
    if await stray_rows(tx):
        log.error("the default partition holds rows: run `amrutam partitions repair`")
    return False


async def detach_old_months(tx: Tx, *, settings: Settings) -> bool:
    """Detach the oldest month of the trail that is older than it is kept; True where the next may be, too."""
    try:
        part = await detach_one(tx, settings.trail_months)
    except asyncpg.LockNotAvailableError:
        log.warning("the trail is in use: its old months are detached another time")
        return False
    if part is None:
        return False
    log.info("a month of the trail was detached", extra={"partition": part})
    return True
