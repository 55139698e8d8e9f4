"""A patient leaves the waiting room, and with it the place. A lost connection is no leaving."""

from __future__ import annotations

from server.consultations.change import change, held
from server.consultations.models import Consultation, InConsultation, OfConsultation, Place
from server.consultations.status import Act, Status
from server.consultations.waiting import NOBODY
from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.tx import Tx


async def leave_waiting(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """Leave the waiting room; again changes nothing. Raises WrongStatus once the consultation has begun or ended."""
    return await _leave(tx, ask.id, cipher)


async def exit_waiting(tx: Tx, ask: InConsultation, *, cipher: Cipher) -> Place:
    """The same from a socket: answers with no place."""
    await _leave(tx, ask.consultation_id, cipher)
    return NOBODY


async def _leave(tx: Tx, id_: ConsultationId, cipher: Cipher) -> Consultation:
    before = await held(tx, id_)
    if before.status is Status.PENDING and before.checked_in_at is None:
        return before
    return await change(tx, Act.LEAVE, before, cipher, checked_in_at=None, called_at=None, queued_at=None)
