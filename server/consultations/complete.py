"""The doctor closes the consultation."""

from __future__ import annotations

from server.consultations.change import change, held
from server.consultations.events import ConsultationCompleted
from server.consultations.models import Consultation, OfConsultation
from server.consultations.status import Act, Status
from server.core.cipher import Cipher
from server.core.tx import Tx


async def complete_consultation(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """ACTIVE becomes COMPLETED; again changes nothing. Raises WrongStatus."""
    before = await held(tx, ask.id)
    if before.status is Status.COMPLETED:
        return before
    after = await change(tx, Act.COMPLETE, before, cipher, ended_at=tx.now, ended_as="completed")
    tx.emit(ConsultationCompleted(consultation_id=after.id))
    return after
