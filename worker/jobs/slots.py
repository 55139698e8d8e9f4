"""Slots: kept sixty days ahead of every listed doctor; free ones of the past are removed."""

from __future__ import annotations

from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import MakeSlots, listed_doctors, make_slots


async def keep_slots_ahead(tx: Tx, *, settings: Settings) -> bool:
    """Fit every doctor's slots to the hours once more."""
    for doctor_id in await listed_doctors(tx):
        await make_slots(tx, MakeSlots(doctor_id=doctor_id), settings=settings)
    return False
