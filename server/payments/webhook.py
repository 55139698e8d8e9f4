"""A gateway's webhook: stored in the transaction of its effect, so that a retry after our own failure counts."""

from __future__ import annotations

import hashlib

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import new_id
from server.core.tx import Tx
from server.payments import queries
from server.payments.events import PaymentCaptured, PaymentFailed, PaymentRefunded
from server.payments.ledger import ask_for_refunds, write_down
from server.payments.models import EntryKind, Payment, StoredWebhook, TakeWebhook, WebhookTaken

# Captured and order.paid are two reports of one thing: one entry (the ledger's key is the attempt).
KIND = {
    "payment.authorized": EntryKind.AUTHORISED,
    "payment.captured": EntryKind.CAPTURED,
    "order.paid": EntryKind.CAPTURED,
    "payment.failed": EntryKind.FAILED,
    "refund.processed": EntryKind.REFUNDED,
}


async def take_webhook(tx: Tx, ask: TakeWebhook) -> WebhookTaken:
    """Write a report of the gateway into the ledger. Duplicates and any order are harmless.

    Money that comes for a payment that is paid is asked back at once. Raises Invalid, changing nothing, when order,
    amount or currency are not ours; NotFound for a provider we do not have.
    """
    stored = StoredWebhook(
        id=new_id(tx.now),
        provider=ask.provider,
        provider_event=ask.id,
        type=ask.type,
        body_hash=hashlib.sha256(ask.model_dump_json().encode()).digest(),
    )
    if not await queries.keep_webhook(tx, stored):
        return WebhookTaken(duplicate=True)
    payment = await queries.locked_payment(tx, ask.order)
    if payment is None:
        raise _wrong("order", "There is no such order.")
    if payment.provider != ask.provider:
        raise NotFound
    if payment.amount_minor != ask.amount:
        raise _wrong("amount", "This is not what the order costs.")
    if payment.currency != ask.currency:
        raise _wrong("currency", "This is not the order's currency.")
    kind = KIND[ask.type]
    if not await queries.add_entry(tx, payment.id, kind, ask.amount, ask.provider, ask.payment):
        if await queries.belongs_to_another(tx, payment.id, ask.provider, ask.payment):
            raise _wrong("payment", "This attempt belongs to another order.")
        return WebhookTaken(duplicate=False)
    await _follow(tx, await write_down(tx, payment), kind)
    return WebhookTaken(duplicate=False)


async def _follow(tx: Tx, payment: Payment, kind: EntryKind) -> None:
    if kind is EntryKind.CAPTURED and await ask_for_refunds(tx, payment, keep=1) == 0:
        tx.emit(PaymentCaptured(payment_id=payment.id, consultation_id=payment.consultation_id))
    elif kind is EntryKind.FAILED:
        tx.emit(PaymentFailed(payment_id=payment.id, consultation_id=payment.consultation_id))
    elif kind is EntryKind.REFUNDED:
        tx.emit(PaymentRefunded(payment_id=payment.id, consultation_id=payment.consultation_id))


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(errors=[FieldError(field=field, code="mismatch", message=message)])
