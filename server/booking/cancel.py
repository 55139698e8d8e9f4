"""A booking ends before the meeting: cancelled by someone, or never paid."""

from __future__ import annotations

from collections.abc import Mapping

from server.booking.models import CancelBooking, ExpireHold
from server.booking.terms import part_of, percent_of
from server.consultations import Consultation, EndedAs, cancel, consultation
from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Role, Tx
from server.payments import PaymentStatus, locked_payment, locked_payment_of, settle_cancelled
from server.scheduling import free_slot

ENDED_AS: Mapping[Role, EndedAs] = {
    Role.PATIENT: "cancelled_by_patient",
    Role.DOCTOR: "cancelled_by_doctor",
    Role.ADMIN: "cancelled_by_admin",
    Role.SYSTEM: "cancelled_by_admin",
}
UNPAID = frozenset({PaymentStatus.PENDING, PaymentStatus.AUTHORISED, PaymentStatus.FAILED})


async def cancel_booking(tx: Tx, ask: CancelBooking, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Cancel a consultation that has not begun. Its slot is free again if it lies ahead.

    A patient gets back what the terms of this moment say (terms.py); a doctor's or an administrator's cancellation
    gives all back. Raises NotFound, and Conflict for what is ACTIVE or over.
    """
    assert tx.actor.role is not None
    await locked_payment_of(tx, ask.id)  # payment first, here and in every other change of both: no deadlock
    held = await consultation(tx, ask.id)
    percent, _ = await percent_of(tx, held, settings)
    refund_minor = None if percent == 100 else part_of(held.payment.amount, percent)
    return await _end(tx, held, ENDED_AS[tx.actor.role], cipher, refund_minor)


async def expire_hold(tx: Tx, ask: ExpireHold, *, cipher: Cipher) -> bool:
    """Undo a booking that nobody paid: consultation CANCELLED as unpaid, slot AVAILABLE, both parties told.

    False, and nothing changed, when it was paid or cancelled meanwhile, or its hold is not over.
    """
    payment = await locked_payment(tx, ask.payment_id)
    if payment is None or payment.status not in UNPAID or payment.expires_at is None or payment.expires_at > tx.now:
        return False
    await _end(tx, await consultation(tx, payment.consultation_id), "unpaid", cipher, None)
    return True


async def _end(tx: Tx, held: Consultation, ended_as: EndedAs, cipher: Cipher, refund_minor: int | None) -> Consultation:
    # The money before the consultation: what is told of it then shows what becomes of the payment.
    await settle_cancelled(tx, held.id, refund_minor=refund_minor)
    await free_slot(tx, held.slot_id, held.id)
    return await cancel(tx, held.id, ended_as, cipher)
