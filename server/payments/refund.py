"""Money goes back: asked for by an administrator or a cancellation, done by the worker at the gateway."""

from __future__ import annotations

from server.consultations import ConsultationPayment
from server.core.errors import Conflict, NotFound
from server.core.tx import Run, Tx
from server.payments import queries
from server.payments.events import PaymentRefunded
from server.payments.gateway import Gateway
from server.payments.ledger import ask_for_refunds, unreturned, write_down
from server.payments.models import EntryKind, Payment, RefundAtGateway, RefundPayment


class NothingToRefund(Conflict):
    """Nothing was captured for this payment, or all of it went back already."""

    code = "nothing-to-refund"
    title = "There is nothing to give back."


async def refund_payment(tx: Tx, ask: RefundPayment) -> ConsultationPayment:
    """Ask for the full return of what was captured. The gateway is told by the worker, after the commit.

    Raises NotFound; NothingToRefund for what was not paid, was free, or went back.
    """
    payment = await queries.locked_payment(tx, ask.id)
    if payment is None:
        raise NotFound
    if payment.amount_minor == 0 or await ask_for_refunds(tx, payment) == 0:
        raise NothingToRefund
    return payment.shown()


async def refund_at_gateway(run: Run, ask: RefundAtGateway, *, gateway: Gateway) -> None:
    """The step that hears PaymentRefundDue: give one captured attempt back, then write it down.

    At least once, and once in effect: the gateway gets the step's key, the ledger takes an attempt's return once.
    """
    payment = await run.read(payment_to_return, ask)
    if payment is None:
        return
    await gateway.refund(ask.provider_payment, payment.money, run.key)
    await run(write_refund, ask)


async def payment_to_return(tx: Tx, ask: RefundAtGateway) -> Payment | None:
    """The payment, while this attempt's money is still with us."""
    captured = unreturned(await queries.entries(tx, ask.payment_id))
    if not any(entry.provider_payment == ask.provider_payment for entry in captured):
        return None
    return await queries.payment(tx, ask.payment_id)


async def write_refund(tx: Tx, ask: RefundAtGateway) -> None:
    """Write a return into the ledger and tell; nothing when it stands there already."""
    payment = await queries.locked_payment(tx, ask.payment_id)
    assert payment is not None
    if await queries.add_entry(
        tx, payment.id, EntryKind.REFUNDED, payment.amount_minor, payment.provider, ask.provider_payment
    ):
        await write_down(tx, payment)
        tx.emit(PaymentRefunded(payment_id=payment.id, consultation_id=payment.consultation_id))
