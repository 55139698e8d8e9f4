"""The gateway's order: asked for by the worker after the booking, so that a request never waits for a gateway."""

from __future__ import annotations

from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.payments import queries
from server.payments.events import PaymentChanged
from server.payments.gateway import SANDBOX, Gateways, OrderToOpen
from server.payments.ledger import UNPAID
from server.payments.models import AskForOrder, CloseOrder, KeepOrder, Payment, PaymentStatus


async def ask_gateway_for_order(run: Run, ask: AskForOrder, *, gateways: Gateways, settings: Settings) -> None:
    """The step that hears PaymentOrderDue: open the order unless the payment is free, paid, over or has one.

    Raises GatewayAway, GatewayRefused.
    """
    payment = await run.glance(payment_without_order, ask)
    if payment is None:
        return
    opened = await gateways[payment.provider].open_order(order_of(payment, settings), run.key)
    await run(
        keep_order,
        KeepOrder(payment_id=payment.id, provider_order=opened.provider_order, pay_url=opened.pay_url),
    )


def order_of(payment: Payment, settings: Settings) -> OrderToOpen:
    """What a gateway is told of a payment: what it costs and how long, never what for."""
    assert payment.expires_at is not None
    return OrderToOpen(
        payment_id=payment.id,
        money=payment.money,
        expires_at=payment.expires_at,
        page_url=f"{settings.public_url}/checkout/{payment.id}",
    )


async def payment_without_order(tx: Tx, ask: AskForOrder) -> Payment | None:
    """The consultation's payment while an order is missing."""
    payment = await queries.payment_of(tx, ask.consultation_id)
    if payment is None or payment.provider_order is not None or payment.status not in UNPAID:
        return None
    return payment if payment.expires_at is not None else None


async def keep_order(tx: Tx, ask: KeepOrder) -> None:
    """Keep the gateway's name of the order; the first one stays. The checkout page, which waits for it, is told."""
    payment = await queries.keep_order(tx, ask.payment_id, ask.provider_order, ask.pay_url)
    if payment is not None and payment.provider != SANDBOX:
        tx.emit(PaymentChanged(consultation_id=payment.consultation_id, payment=payment.shown()))


async def close_order_at_gateway(run: Run, ask: CloseOrder, *, gateways: Gateways) -> None:
    """The step that hears of a cancellation: an order that nobody paid is closed, so that nobody pays it now."""
    payment = await run.read(payment_to_close, ask)
    if payment is not None and payment.provider_order is not None:
        await gateways[payment.provider].close_order(payment.provider_order, run.key)


async def payment_to_close(tx: Tx, ask: CloseOrder) -> Payment | None:
    """The consultation's payment when it expired with an order at a real gateway."""
    payment = await queries.payment_of(tx, ask.consultation_id)
    if payment is None or payment.provider == SANDBOX or payment.status is not PaymentStatus.EXPIRED:
        return None
    return payment
