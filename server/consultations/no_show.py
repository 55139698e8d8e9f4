"""A patient who did not come, and the way back when they come after all."""

from __future__ import annotations

from datetime import timedelta

from server.consultations.change import allow, change, held
from server.consultations.events import ConsultationCancelled
from server.consultations.models import Consultation, OfConsultation
from server.consultations.status import Act, TooEarly, TooLate, WrongStatus
from server.core.cipher import Cipher
from server.core.models import rfc3339
from server.core.tx import Tx

WITHIN = timedelta(days=1)


async def mark_no_show(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """The slot has begun and the patient never checked in: CANCELLED as no_show; again changes nothing.

    Raises CheckedIn, NotConfirmed, TooEarly, WrongStatus.
    """
    before = await held(tx, ask.id)
    if before.ended_as == "no_show":
        return before
    allow(Act.NO_SHOW, before)
    if tx.now < before.start_time:
        raise TooEarly("This slot has not begun: the patient may still come.", opens_at=rfc3339(before.start_time))
    after = await change(tx, Act.NO_SHOW, before, cipher, ended_at=tx.now, ended_as="no_show")
    tx.emit(ConsultationCancelled(consultation_id=after.id, ended_as="no_show"))
    return after


async def reopen_consultation(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """A no-show of the last 24 hours becomes PENDING again. Raises TooLate, WrongStatus."""
    before = await held(tx, ask.id)
    allow(Act.REOPEN, before)
    if before.ended_as != "no_show" or before.ended_at is None or before.payment.status == "refunded":
        raise WrongStatus("Only one that ended as a no-show can be opened again.")
    if tx.now - before.ended_at > WITHIN:
        raise TooLate("A no-show can be opened again for 24 hours.")
    return await change(tx, Act.REOPEN, before, cipher, ended_at=None, ended_as=None)
