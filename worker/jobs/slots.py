"""Slots: kept so many days ahead of every listed doctor; free ones of the past are removed."""

from __future__ import annotations

from datetime import timedelta

from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import MakeSlots, doctors_behind, forget_past, make_slots

SLACK = timedelta(days=1)
MOST_FORGOTTEN = 2000


async def keep_slots_ahead(tx: Tx, *, settings: Settings) -> bool:
    """Fit the slots of doctors whose calendar ends more than a day short of the horizon; whether more is to do."""
    until = tx.now + timedelta(days=settings.slots_days_ahead) - SLACK
    for doctor_id in await doctors_behind(tx, until):
        await make_slots(tx, MakeSlots(doctor_id=doctor_id), settings=settings)
    return await forget_past(tx, MOST_FORGOTTEN) == MOST_FORGOTTEN
