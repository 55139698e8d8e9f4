"""The doctor lets the next one go first: who is skipped keeps a place, right behind."""

from __future__ import annotations

from datetime import timedelta

from server.consultations import queries
from server.consultations.change import allow, change, held
from server.consultations.models import Consultation, InConsultation, OfConsultation
from server.consultations.status import Act, NobodyBehind
from server.consultations.waiting import order
from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.tx import Tx

RIGHT_BEHIND = timedelta(microseconds=1)


async def skip_patient(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """Put a patient who waits, or was called and did not come, behind the next one who waits.

    Raises NobodyBehind, NotCheckedIn, WrongStatus.
    """
    return await _skip(tx, ask.id, cipher)


async def let_next_go_first(tx: Tx, ask: InConsultation, *, cipher: Cipher) -> Consultation:
    """The same from a socket."""
    return await _skip(tx, ask.consultation_id, cipher)


async def _skip(tx: Tx, id_: ConsultationId, cipher: Cipher) -> Consultation:
    before = await held(tx, id_)
    allow(Act.SKIP, before)
    rows = await queries.queue(tx, before.doctor_id, also=before)
    # A called patient stands where they would without the call.
    waiting = order(rows, as_it_was=before.model_copy(update={"called_at": None}))
    behind = waiting[waiting.index(id_) + 1 :]
    if not behind:
        raise NobodyBehind
    next_one = next(row for row in rows if row["consultation_id"] == behind[0])
    return await change(tx, Act.SKIP, before, cipher, called_at=None, queued_at=next_one["queued_at"] + RIGHT_BEHIND)
