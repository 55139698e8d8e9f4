"""The room of a doctor's slots: open to everybody, signed in or not."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from realtime.delivery.live_room import LiveRoom
from server.core.ids import DoctorId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import SLOTS, ListSlots, read_slots


def slots_room(settings: Settings) -> LiveRoom:
    """Free and booked slots of the next seven days, then each change."""

    async def everybody(tx: Tx, doctor_id: UUID) -> None:
        """Nothing is private here; a doctor who is not listed is refused by the snapshot."""

    async def slots(tx: Tx, doctor_id: UUID) -> Mapping[str, object]:
        found = await read_slots(tx, ListSlots(id=DoctorId(doctor_id)), settings=settings)
        return {"slots": found.items}

    return LiveRoom(SLOTS, may_join=everybody, snapshot=slots, is_public=True)
