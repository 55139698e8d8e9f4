"""The meeting begins: the doctor joined the call, or said so."""

from __future__ import annotations

from server.consultations.change import change, held
from server.consultations.models import Consultation, InConsultation, OfConsultation
from server.consultations.status import Act, Status
from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.tx import Tx


async def start_consultation(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """PENDING and called becomes ACTIVE; again changes nothing. Raises NotCalled, WrongStatus."""
    return await _start(tx, ask.id, cipher)


async def begin_meeting(tx: Tx, ask: InConsultation, *, cipher: Cipher) -> Consultation:
    """The same for the doctor who joins the call."""
    return await _start(tx, ask.consultation_id, cipher)


async def _start(tx: Tx, id_: ConsultationId, cipher: Cipher) -> Consultation:
    before = await held(tx, id_)
    if before.status is Status.ACTIVE:
        return before
    return await change(tx, Act.START, before, cipher, started_at=tx.now)
