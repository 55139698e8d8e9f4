"""The checkout page's truth, and the sandbox's end of it: webhooks signed and verified like any gateway's."""

from __future__ import annotations

import json
from typing import Any

from server.consultations import ConsultationPayment
from server.core.errors import Conflict, NotFound
from server.core.ids import new_id
from server.core.settings import Settings
from server.core.tx import SYSTEM, Role, Run, Tx
from server.payments import queries
from server.payments.gateway import SANDBOX, SIGNATURE, Verify, sign
from server.payments.models import (
    Checkout,
    PayInSandbox,
    Payment,
    PaymentStatus,
    ReadPayment,
    TakeWebhook,
    WebhookType,
)
from server.payments.webhook import take_webhook

PAID: tuple[WebhookType, ...] = ("payment.authorized", "payment.captured", "order.paid")
FAILED: tuple[WebhookType, ...] = ("payment.failed",)


class AlreadyPaid(Conflict):
    """This order is paid, or its money went back. There is nothing left to pay."""

    code = "already-paid"
    title = "This is paid already."


async def read_checkout(tx: Tx, ask: ReadPayment) -> Checkout:
    """What the checkout page shows its patient. Raises NotFound for anybody else."""
    payment = await queries.payment(tx, ask.id)
    if payment is None or tx.actor.role is not Role.PATIENT or payment.patient_id != tx.actor.patient_id:
        raise NotFound
    return Checkout(
        payment=payment.shown(), consultation_id=payment.consultation_id, sandbox=payment.provider == SANDBOX
    )


async def pay_in_sandbox(run: Run, ask: PayInSandbox, *, settings: Settings, verify: Verify) -> ConsultationPayment:
    """End a sandbox checkout: the webhooks that a gateway would send, signed and verified like them, in their order.

    Raises NotFound, AlreadyPaid.
    """
    payment = await run.read(sandbox_payment, ask)
    attempt = f"pay_{new_id(run.now).hex}"
    house = run.acting_as(SYSTEM)
    for kind in PAID if ask.outcome == "paid" else FAILED:
        body = _body(kind, payment, attempt, f"evt_{new_id(run.now).hex}")
        verify(body, {SIGNATURE: sign(body, settings.sandbox_secret.get_secret_value(), run.now)})
        fields: dict[str, Any] = {"provider": SANDBOX, **json.loads(body)}
        await house(take_webhook, TakeWebhook.model_validate_json(json.dumps(fields)))
    return (await run.read(any_payment, ask)).shown()


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


def _body(kind: WebhookType, payment: Payment, attempt: str, event: str) -> bytes:
    return json.dumps(
        {
            "id": event,
            "type": kind,
            "order": str(payment.id),
            "payment": attempt,
            "amount": payment.amount_minor,
            "currency": payment.currency,
        }
    ).encode()
