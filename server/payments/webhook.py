"""A gateway's webhook: stored in the transaction of its effect, so that a retry after our own failure counts."""

from __future__ import annotations

import hashlib
import logging

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import PaymentId, new_id
from server.core.tx import Tx
from server.payments import queries
from server.payments.events import PaymentCaptured, PaymentFailed, PaymentRefunded
from server.payments.gateway import SANDBOX
from server.payments.ledger import balances, write_down
from server.payments.models import EntryKind, Payment, Report, StoredWebhook, TakeWebhook, WebhookTaken
from server.payments.refund import return_all_but, return_attempt

log = logging.getLogger(__name__)
# Captured and order.paid are two reports of one thing: one entry (the ledger's key is the attempt).
KIND = {
    "payment.authorized": EntryKind.AUTHORISED,
    "payment.captured": EntryKind.CAPTURED,
    "order.paid": EntryKind.CAPTURED,
    "payment.failed": EntryKind.FAILED,
    "refund.processed": EntryKind.REFUNDED,
}
RETURNS = (EntryKind.REFUNDED, EntryKind.REFUND_FAILED)


async def take_webhook(tx: Tx, ask: TakeWebhook) -> WebhookTaken:
    """Write a report of the sandbox into the ledger. Duplicates and any order are harmless.

    Raises Invalid, changing nothing, when order, amount or currency are not ours.
    """
    report = Report(
        provider=SANDBOX,
        event=ask.id,
        type=ask.type,
        kind=KIND[ask.type],
        order=ask.order,
        attempt=ask.payment,
        refund=ask.refund,
        amount_minor=ask.amount,
        currency=ask.currency,
    )
    return await take_report(tx, report)


async def take_report(tx: Tx, report: Report) -> WebhookTaken:
    """Believe a report: a webhook whose signature was checked, or a line of the gateway's own books.

    What names no payment of ours, by no name, is somebody else's on the same account, and passed over. Money that comes
    for a payment that is paid is asked back at once. Raises Invalid, changing nothing, when order, amount or currency
    are not ours; NotFound for another provider's payment.
    """
    if report.event is not None and not await _is_new(tx, report, report.event):
        return WebhookTaken(duplicate=True)
    order = report.order or await find_order(tx, report)
    if order is None:
        log.info("a report of nobody's payment", extra={"provider": report.provider, "type": report.type})
        return WebhookTaken(duplicate=False)
    payment = await queries.locked_payment(tx, order)
    if payment is None:
        raise _wrong("order", "There is no such order.")
    if payment.provider != report.provider:
        raise NotFound
    _refuse_unless_ours(payment, report)
    owner = await queries.payment_of_attempt(tx, report.provider, report.attempt)
    if owner not in (None, payment.id):
        raise _wrong("payment", "This attempt belongs to another order.")
    if report.kind in RETURNS:
        await _take_return(tx, payment, report)
    elif await _enter(tx, payment, report, report.attempt):
        await _follow(tx, await write_down(tx, payment), report)
    return WebhookTaken(duplicate=False)


async def find_order(tx: Tx, report: Report) -> PaymentId | None:
    """Our payment, by the gateway's name of its order or of its attempt."""
    if report.provider_order is not None:
        found = await queries.payment_of_order(tx, report.provider, report.provider_order)
        if found is not None:
            return found
    return await queries.payment_of_attempt(tx, report.provider, report.attempt)


async def _is_new(tx: Tx, report: Report, event: str) -> bool:
    stored = StoredWebhook(
        id=new_id(tx.now),
        provider=report.provider,
        provider_event=event,
        type=report.type,
        body_hash=hashlib.sha256(report.model_dump_json().encode()).digest(),
    )
    return await queries.keep_webhook(tx, stored)


def _refuse_unless_ours(payment: Payment, report: Report) -> None:
    whole = report.kind not in RETURNS
    if report.amount_minor != payment.amount_minor and (whole or not 0 < report.amount_minor < payment.amount_minor):
        raise _wrong("amount", "This is not what the order costs.")
    if payment.currency != report.currency:
        raise _wrong("currency", "This is not the order's currency.")


async def _enter(tx: Tx, payment: Payment, report: Report, name: str, attempt: str | None = None) -> bool:
    return await queries.add_entry(
        tx, payment, report.kind, report.amount_minor, name, attempt=attempt, reconciled=report.event is None
    )


async def _follow(tx: Tx, payment: Payment, report: Report) -> None:
    if report.kind is EntryKind.CAPTURED:
        if payment.settled_at is not None:
            await return_attempt(tx, payment, report.attempt, "late")
        elif await return_all_but(tx, payment, keep=1, reason="duplicate") == 0:
            tx.emit(PaymentCaptured(payment_id=payment.id, consultation_id=payment.consultation_id))
    elif report.kind is EntryKind.FAILED:
        tx.emit(PaymentFailed(payment_id=payment.id, consultation_id=payment.consultation_id))


async def _take_return(tx: Tx, payment: Payment, report: Report) -> None:
    """A return, ours or one made in the gateway's own pages. Without a name of its own it is all of the attempt's."""
    ledger = await queries.entries(tx, payment.id)
    if report.refund is None and any(e.kind is report.kind and e.of == report.attempt for e in ledger):
        return
    left = balances(ledger).get(report.attempt)
    known = any(e.kind is report.kind and e.provider_payment == report.refund for e in ledger)
    if report.kind is EntryKind.REFUNDED and not known and left is not None and report.amount_minor > left:
        raise _wrong("amount", "So much is not left of this attempt.")
    name = report.refund or report.attempt
    if not await _enter(tx, payment, report, name, report.attempt if report.refund else None):
        return
    failed = report.kind is EntryKind.REFUND_FAILED
    for refund in await queries.refunds(tx, payment.id):
        if refund.id == report.refund_id or (report.refund is not None and refund.provider_refund == report.refund):
            await queries.end_refund(tx, refund.id, report.refund, "failed" if failed else "done")
    payment = await write_down(tx, payment)
    if failed:
        log.error("a refund came back", extra={"payment_id": str(payment.id), "provider": payment.provider})
        return
    tx.emit(
        PaymentRefunded(
            payment_id=payment.id, consultation_id=payment.consultation_id, amount_minor=report.amount_minor
        )
    )


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(errors=[FieldError(field=field, code="mismatch", message=message)])
