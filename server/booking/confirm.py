"""The money is there: the consultation is confirmed, or the money goes back."""

from __future__ import annotations

from server.booking.models import ConfirmPaid
from server.consultations import Status, confirm, consultation
from server.core.cipher import Cipher
from server.core.tx import Tx
from server.payments import PaymentStatus, ask_for_refund, locked_payment


async def confirm_paid(tx: Tx, ask: ConfirmPaid, *, cipher: Cipher) -> None:
    """The step that hears PaymentCaptured. A second call changes nothing.

    Money that came after the consultation was cancelled (its hold ended, someone cancelled it) is due back.
    """
    payment = await locked_payment(tx, ask.payment_id)
    if payment is None or payment.status is not PaymentStatus.CAPTURED:
        return
    if await confirm(tx, payment.consultation_id, cipher) is not None:
        return
    # What was captured before a cancellation has been judged by its rules.
    if payment.settled_at is None and (await consultation(tx, payment.consultation_id)).status == Status.CANCELLED:
        await ask_for_refund(tx, payment.id, None, "late")
