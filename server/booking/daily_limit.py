"""How many bookings a patient may make a day: counted one after the other, so that parallel requests add up."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from server.booking import rule_queries as queries
from server.core.ids import PatientId
from server.core.settings import Settings
from server.core.tx import Tx


async def hold_daily_limit(tx: Tx, patient_id: PatientId, settings: Settings) -> None:
    """Let this patient's bookings take turns until the transaction ends; nothing where there is no limit.

    The statement that counts comes after: its snapshot then has what the one before has booked.
    """
    if settings.bookings_a_day > 0:
        await queries.take_turns(tx, patient_id)


def day_began(now: datetime, zone: str) -> datetime:
    """The midnight that the patient's day began with."""
    return now.astimezone(ZoneInfo(zone)).replace(hour=0, minute=0, second=0, microsecond=0)
