"""Partitions: the months ahead exist before they begin; the default one stays empty."""

from __future__ import annotations

import logging

from server.core.tx import Tx
from worker.jobs.queries import has_stray_rows, make_months

log = logging.getLogger(__name__)
MONTHS = 13


async def make_partitions(tx: Tx) -> bool:
    """Make the partitions of this month and the twelve after it; an alarm when the default one is used."""
    made = await make_months(tx, tx.now.date(), MONTHS)
    if made:
        log.info("partitions made", extra={"made": made})
    if await has_stray_rows(tx):
        log.error("the default partition holds rows: run `amrutam partitions repair`")
    return False
