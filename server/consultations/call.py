"""The doctor calls a patient in, and a called patient whose doctor went away goes back to the same place."""

from __future__ import annotations

from server.consultations.change import allow, change, held
from server.consultations.delay import take_back
from server.consultations.models import CallNext, Consultation, InConsultation, OfConsultation, PutBack
from server.consultations.status import Act, NotCheckedIn, Status, TooEarly
from server.consultations.waiting import first_waiting
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.ids import ConsultationId
from server.core.models import Done, rfc3339
from server.core.settings import Settings
from server.core.tx import Tx


async def call_patient(tx: Tx, ask: OfConsultation, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Call this patient in; again changes nothing. Outside the demo not before the slot begins.

    Raises NotCheckedIn, TooEarly, WrongStatus.
    """
    return await _call(tx, ask.id, cipher, settings)


async def call_next(tx: Tx, ask: CallNext, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Call in whoever checked in first and may be called, or the one that is named.

    Raises NotFound for another doctor's consultation, NotCheckedIn when nobody waits, TooEarly, WrongStatus.
    """
    if tx.actor.doctor_id is None:
        raise NotFound
    if ask.consultation_id is not None:
        return await _call(tx, ask.consultation_id, cipher, settings)
    early: TooEarly | None = None
    for id_ in await first_waiting(tx, tx.actor.doctor_id):
        try:
            return await _call(tx, id_, cipher, settings, only_waiting=True)
        except TooEarly as problem:
            early = early or problem
        except NotCheckedIn:
            continue  # called from another window, or gone, since the queue was read
    raise early or NotCheckedIn("Nobody is waiting.")


async def put_back(tx: Tx, ask: PutBack, *, cipher: Cipher) -> Done:
    """A called patient whose doctor vanished waits again, in the same place. Nothing, if the call has begun."""
    before = await held(tx, ask.consultation_id)
    if before.status is not Status.PENDING or before.called_at is None:
        return Done(done=False)
    await change(tx, Act.PUT_BACK, before, cipher, called_at=None)
    return Done()


async def put_back_patient(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Consultation:
    """The doctor takes a call back, or a skip: the patient waits at the old place; again changes nothing.

    Raises NotCheckedIn, WrongStatus once the consultation has begun.
    """
    before = await held(tx, ask.id)
    if before.is_waiting and before.queued_at is None:
        return before
    return await change(tx, Act.PUT_BACK, before, cipher, called_at=None, queued_at=None)


async def return_patient(tx: Tx, ask: InConsultation, *, cipher: Cipher) -> Consultation:
    """The same from a socket."""
    return await put_back_patient(tx, OfConsultation(id=ask.consultation_id), cipher=cipher)


async def _call(
    tx: Tx, id_: ConsultationId, cipher: Cipher, settings: Settings, *, only_waiting: bool = False
) -> Consultation:
    before = await held(tx, id_)
    if before.doctor_id != tx.actor.doctor_id:
        raise NotFound
    if only_waiting and not before.is_waiting:
        raise NotCheckedIn
    allow(Act.CALL, before)
    if before.called_at is not None:
        return before
    if not settings.demo and tx.now < before.start_time:
        raise TooEarly("This slot has not begun.", opens_at=rfc3339(before.start_time))
    await take_back(tx, before.doctor_id)  # who calls somebody in is here
    return await change(tx, Act.CALL, before, cipher, called_at=tx.now)
