"""The sandbox's end of a checkout: webhooks signed and verified like any gateway's, and as unpunctual as they are."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

from server.consultations import ConsultationPayment
from server.core.errors import Conflict, NotFound
from server.core.ids import new_id
from server.core.settings import Settings
from server.core.tx import SYSTEM, Role, Run, Tx
from server.payments import queries
from server.payments.events import SandboxReportsDue
from server.payments.gateway import SANDBOX
from server.payments.gateways.sandbox import SIGNATURE
from server.payments.models import PayInSandbox, Payment, PaymentStatus, SendSandboxReports, TakeWebhook, WebhookType
from server.payments.signature import Verify, sign
from server.payments.webhook import take_webhook

PAID: tuple[WebhookType, ...] = ("payment.authorized", "payment.captured", "order.paid")
FAILED: tuple[WebhookType, ...] = ("payment.failed",)


class AlreadyPaid(Conflict):
    """This order is paid, or its money went back. There is nothing left to pay."""

    code = "already-paid"
    title = "This is paid already."


async def pay_in_sandbox(run: Run, ask: PayInSandbox, *, settings: Settings, verify: Verify) -> ConsultationPayment:
    """End a sandbox checkout: the webhooks that a gateway would send, signed and verified like them, in their order
    unless another is asked for. Abandoned, none comes; with a delay, the worker sends them when it is over.

    Raises NotFound, AlreadyPaid.
    """
    payment = await run.read(sandbox_payment, ask)
    if ask.outcome == "abandoned":
        return payment.shown()
    reports = SendSandboxReports(
        payment_id=payment.id,
        attempt=f"pay_{new_id(run.now).hex}",
        paid=ask.outcome == "paid",
        due_at=run.now + timedelta(seconds=ask.delay_seconds or 0),
        duplicates=ask.duplicates,
        reorder=ask.reorder,
    )
    if ask.delay_seconds:
        await run(ask_for_reports, reports)
    else:
        await send_sandbox_reports(run, reports, settings=settings, verify=verify)
    return (await run.read(any_payment, ask)).shown()


async def send_sandbox_reports(run: Run, ask: SendSandboxReports, *, settings: Settings, verify: Verify) -> None:
    """Send the webhooks of one attempt, once they are due. Sent again they are the same webhooks."""
    await asyncio.sleep(max(0, (ask.due_at - run.now).total_seconds()))
    payment = await run.read(payment_of_reports, ask)
    house = run if run.actor.role is Role.SYSTEM else run.acting_as(SYSTEM)
    kinds = PAID if ask.paid else FAILED
    for kind in kinds[::-1] if ask.reorder else kinds:
        body = _body(kind, payment, ask.attempt)
        for _ in range(1 + ask.duplicates):
            verify(body, {SIGNATURE: sign(body, settings.sandbox_secret.get_secret_value(), run.now)})
            await house(take_webhook, TakeWebhook.model_validate_json(body))


async def ask_for_reports(tx: Tx, ask: SendSandboxReports) -> None:
    """Leave the webhooks to the worker."""
    tx.emit(SandboxReportsDue(**ask.model_dump()))


async def sandbox_payment(tx: Tx, ask: PayInSandbox) -> Payment:
    """A payment that the sandbox can still take. Raises NotFound, AlreadyPaid."""
    payment = await any_payment(tx, ask)
    if payment.provider != SANDBOX:
        raise NotFound
    if payment.status in (PaymentStatus.CAPTURED, PaymentStatus.REFUNDED):
        raise AlreadyPaid
    return payment


async def any_payment(tx: Tx, ask: PayInSandbox) -> Payment:
    """The payment. Raises NotFound."""
    payment = await queries.payment(tx, ask.id)
    if payment is None:
        raise NotFound
    return payment


async def payment_of_reports(tx: Tx, ask: SendSandboxReports) -> Payment:
    """The payment that the webhooks are about."""
    payment = await queries.payment(tx, ask.payment_id)
    assert payment is not None
    return payment


def _body(kind: WebhookType, payment: Payment, attempt: str) -> bytes:
    return json.dumps(
        {
            "id": f"evt_{attempt}_{kind}",
            "type": kind,
            "order": str(payment.id),
            "payment": attempt,
            "amount": payment.amount_minor,
            "currency": payment.currency,
        }
    ).encode()
