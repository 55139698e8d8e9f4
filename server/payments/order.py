"""The gateway's order: asked for by the worker after the booking, so that a request never waits for a gateway."""

from __future__ import annotations

from server.core.tx import Run, Tx
from server.payments import queries
from server.payments.gateway import Gateway
from server.payments.ledger import UNPAID
from server.payments.models import AskForOrder, KeepOrder, Payment


async def ask_gateway_for_order(run: Run, ask: AskForOrder, *, gateway: Gateway) -> None:
    """The step that hears ConsultationBooked: open the order unless the payment is free, paid, over or has one."""
    payment = await run.read(payment_without_order, ask)
    if payment is None:
        return
    order = await gateway.open_order(payment.id, payment.money, run.key)
    await run(keep_order, KeepOrder(payment_id=payment.id, provider_order=order))


async def payment_without_order(tx: Tx, ask: AskForOrder) -> Payment | None:
    """The consultation's payment while an order is missing."""
    payment = await queries.payment_of(tx, ask.consultation_id)
    if payment is None or payment.provider_order is not None or payment.status not in UNPAID:
        return None
    return payment


async def keep_order(tx: Tx, ask: KeepOrder) -> None:
    """Keep the gateway's name of the order; the first one stays."""
    await queries.keep_order(tx, ask.payment_id, ask.provider_order)
