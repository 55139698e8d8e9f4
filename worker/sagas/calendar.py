"""A doctor's calendar: hours that reach further than one transaction makes slots, made piece by piece."""

from __future__ import annotations

from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import MakeSlots, SlotsBehind, make_slots
from worker.registry import on


@on(SlotsBehind)
async def make_the_next_slots(tx: Tx, event: SlotsBehind, *, settings: Settings) -> None:
    """Make the next slots; where there are still more, this is asked for again."""
    await make_slots(tx, MakeSlots(doctor_id=event.doctor_id), settings=settings)
