"""A patient enters the waiting room."""

from __future__ import annotations

from datetime import timedelta

from server.consultations.change import allow, change, held
from server.consultations.models import Consultation, InConsultation, OfConsultation, Place
from server.consultations.status import Act, Status, TooEarly
from server.consultations.waiting import place_of
from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.models import rfc3339
from server.core.settings import Settings
from server.core.tx import Tx

OPENS_BEFORE = timedelta(minutes=30)


async def check_in(tx: Tx, ask: OfConsultation, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Enter the waiting room; again is the same place. Opens 30 minutes before the start, in the demo at once.

    Raises NotConfirmed, TooEarly, WrongStatus.
    """
    return await _enter(tx, ask.id, cipher, settings)


async def enter_waiting(tx: Tx, ask: InConsultation, *, cipher: Cipher, settings: Settings) -> Place:
    """The same from a socket: answers with the place."""
    return await place_of(tx, await _enter(tx, ask.consultation_id, cipher, settings))


async def _enter(tx: Tx, id_: ConsultationId, cipher: Cipher, settings: Settings) -> Consultation:
    before = await held(tx, id_)
    if before.status is Status.PENDING and before.checked_in_at is not None:
        return before
    allow(Act.CHECK_IN, before)
    opens_at = before.start_time - OPENS_BEFORE
    if not settings.demo and tx.now < opens_at:
        raise TooEarly("The waiting room opens 30 minutes before the start.", opens_at=rfc3339(opens_at))
    return await change(tx, Act.CHECK_IN, before, cipher, checked_in_at=tx.now, queued_at=None)
