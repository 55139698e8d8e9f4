"""The SQL of rooms: which patients were called in and are still waiting for their doctor."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from server.core.ids import ConsultationId, DoctorId
from server.core.tx import Tx

CALLED = """
    select id, doctor_id from consultations
     where status = 'PENDING' and called_at is not null and called_at < $1 order by called_at limit 500
"""


class Called(NamedTuple):
    """A patient who was called in and whose consultation has not begun."""

    id: ConsultationId
    doctor_id: DoctorId


async def called_before(tx: Tx, grace: timedelta) -> list[Called]:
    """Whose call is older than `grace` and has not begun, the oldest first."""
    return [Called(row["id"], row["doctor_id"]) for row in await tx.conn.fetch(CALLED, tx.now - grace)]
