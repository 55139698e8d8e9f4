"""The SQL of rooms: which patients were called in and are still waiting for their doctor."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from server.core.ids import ConsultationId, DoctorId, made_at
from server.core.tx import Tx

CALLED = """
    select c.id, c.doctor_id
      from unnest($1::uuid[], $2::timestamptz[]) as w (id, created_at)
      join consultations c on c.id = w.id and c.created_at = w.created_at
     where c.status = 'PENDING' and c.called_at < $3
"""


class Called(NamedTuple):
    """A patient who was called in and whose consultation has not begun."""

    id: ConsultationId
    doctor_id: DoctorId


async def called_before(tx: Tx, ids: Sequence[ConsultationId], grace: timedelta) -> list[Called]:
    """Those of these whose call is older than `grace` and has not begun."""
    earliest: datetime = tx.now - grace
    rows = await tx.conn.fetch(CALLED, ids, [made_at(id_) for id_ in ids], earliest)
    return [Called(row["id"], row["doctor_id"]) for row in rows]
