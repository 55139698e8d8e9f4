"""The money is there: the consultation is confirmed, or taken up again, or the money goes back."""

from __future__ import annotations

import asyncpg

from server.booking import late_queries, queries
from server.booking.models import ConfirmPaid
from server.consultations import Consultation, Status, confirm, consultation, revive
from server.core.cipher import Cipher
from server.core.tx import Tx
from server.payments import PaymentStatus, ask_for_refund, locked_payment
from server.scheduling import take_slot


async def confirm_paid(tx: Tx, ask: ConfirmPaid, *, cipher: Cipher) -> None:
    """The step that hears PaymentCaptured. A second call changes nothing.

    Money that came after the hold had ended takes the slot again if it is still free, ahead, and the patient is. Else,
    and after any other cancellation, it is due back.
    """
    payment = await locked_payment(tx, ask.payment_id)
    if payment is None or payment.status is not PaymentStatus.CAPTURED or payment.settled_at is not None:
        return  # what was captured before a cancellation has been judged by its rules
    if await confirm(tx, payment.consultation_id, cipher) is not None:
        return
    ended = await consultation(tx, payment.consultation_id)
    if ended.status is not Status.CANCELLED:
        return
    if ended.ended_as == "unpaid" and await _take_again(tx, ended):
        await revive(tx, ended.id, cipher)
    else:
        await ask_for_refund(tx, payment.id, None, "late")


async def _take_again(tx: Tx, ended: Consultation) -> bool:
    """Take the slot that the hold's end gave away. Of any number who want it one gets it, as in book_slot."""
    patient_n = await queries.patient_number(tx, ended.patient_id)
    await late_queries.mark(tx)
    try:
        return await take_slot(tx, ended.slot_id, ended.id, patient_n, tx.now) is not None
    except asyncpg.ExclusionViolationError:  # the patient has booked another consultation for that time
        await late_queries.step_back(tx)
        return False
