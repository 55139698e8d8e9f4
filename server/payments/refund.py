"""Money goes back, whole or in part: asked for in the transaction that owes it, done by the worker at the gateway."""

from __future__ import annotations

import logging

from server.consultations import ConsultationPayment
from server.core.errors import Conflict, NotFound
from server.core.ids import ConsultationId, PaymentId
from server.core.money import Money
from server.core.tx import Run, Tx
from server.payments import queries
from server.payments.events import PaymentRefundDue, PaymentRefunded
from server.payments.gateway import Gateways, ReturnToMake
from server.payments.ledger import UNPAID, balances, change, write_down
from server.payments.models import (
    EntryKind,
    Payment,
    PaymentStatus,
    Refund,
    RefundAtGateway,
    RefundMade,
    RefundPayment,
    RefundReason,
)

log = logging.getLogger(__name__)


class NothingToRefund(Conflict):
    """Nothing was captured for this payment, or all of it went back or is on its way back already."""

    code = "nothing-to-refund"
    title = "There is nothing to give back."


class MoreThanCaptured(Conflict):
    """More is asked back than is left of this payment; `left_minor` says how much that is."""

    code = "more-than-captured"
    title = "So much is not there to give back."


async def refund_payment(tx: Tx, ask: RefundPayment) -> ConsultationPayment:
    """Ask for the return of what was captured, or of a part of it. The worker tells the gateway, after the commit.

    Raises NotFound; NothingToRefund for what was not paid, was free, or went back; MoreThanCaptured.
    """
    payment = await queries.locked_payment(tx, ask.id)
    if payment is None:
        raise NotFound
    left = sum((await returnable(tx, payment)).values())
    if left == 0:
        raise NothingToRefund
    if ask.amount is not None and ask.amount > left:
        raise MoreThanCaptured(left_minor=left)
    await ask_for_refund(tx, payment.id, ask.amount, "administrator")
    return payment.shown()


async def ask_for_refund(tx: Tx, payment_id: PaymentId, amount_minor: int | None, reason: RefundReason) -> int:
    """Ask for the return of `amount_minor` (None: of all that is left), the oldest attempt first.

    Returns the minor units that go back: never more than was captured and neither returned nor asked back, so that a
    second call finds less, or nothing. Holds the payment's row until the transaction ends.
    """
    payment = await queries.locked_payment(tx, payment_id)
    assert payment is not None
    wanted = payment.amount_minor * 1000 if amount_minor is None else amount_minor
    asked = 0
    for attempt, left in (await returnable(tx, payment)).items():
        part = min(left, wanted - asked)
        if part > 0:
            await _ask(tx, payment, attempt, part, reason)
            asked += part
    return asked


async def return_all_but(tx: Tx, payment: Payment, *, keep: int, reason: RefundReason) -> int:
    """Ask for the return of every captured attempt that money is left of but the `keep` oldest; how many."""
    due = [(attempt, left) for attempt, left in (await returnable(tx, payment)).items() if left > 0][keep:]
    for attempt, left in due:
        await _ask(tx, payment, attempt, left, reason)
    return len(due)


async def return_attempt(tx: Tx, payment: Payment, attempt: str, reason: RefundReason) -> None:
    """Ask for the return of all that is left of one attempt."""
    left = (await returnable(tx, payment)).get(attempt, 0)
    if left > 0:
        await _ask(tx, payment, attempt, left, reason)


async def returnable(tx: Tx, payment: Payment) -> dict[str, int]:
    """What can still be asked back of each captured attempt, in minor units, the oldest first."""
    left = balances(await queries.entries(tx, payment.id))
    for refund in await queries.refunds(tx, payment.id):
        if refund.is_open and refund.provider_payment in left:
            left[refund.provider_payment] -= refund.amount_minor
    return {attempt: max(minor, 0) for attempt, minor in left.items()}


async def settle_cancelled(
    tx: Tx, consultation_id: ConsultationId, *, refund_minor: int | None = None
) -> Payment | None:
    """The money side of a cancellation: `refund_minor` of what was captured is due back (None: all, 0: nothing), and
    what was not paid expires. Money that is captured later goes back whole.

    None for a consultation without payment. A second call asks for no second refund of what went back already.
    """
    payment = await queries.locked_payment_of(tx, consultation_id)
    if payment is None or payment.amount_minor == 0:
        return payment
    if payment.status in UNPAID:
        return await change(tx, payment, PaymentStatus.EXPIRED)
    if payment.status is PaymentStatus.EXPIRED or payment.settled_at is not None:
        return payment
    await ask_for_refund(tx, payment.id, refund_minor, "cancelled")
    return await queries.settle(tx, payment.id)


async def refund_at_gateway(run: Run, ask: RefundAtGateway, *, gateways: Gateways) -> None:
    """The step that hears PaymentRefundDue: give the money back at the gateway, then write it down.

    At least once, and once in effect: the gateway gets the step's key, the ledger takes a return's name once.
    """
    found = await run(refund_to_make, ask)
    if found is None:
        return
    payment, refund = found
    back = ReturnToMake(
        payment_id=payment.id,
        refund_id=refund.id,
        attempt=refund.provider_payment,
        money=Money(amount_minor=refund.amount_minor, currency=payment.currency),
    )
    made = await gateways[payment.provider].refund(back, run.key)
    await run(write_refund, RefundMade(refund_id=refund.id, provider_refund=made.provider_refund, state=made.state))


async def refund_to_make(tx: Tx, ask: RefundAtGateway) -> tuple[Payment, Refund] | None:
    """The return, while it is open and its money is with us. One that no longer can be made is closed as failed."""
    payment = await queries.locked_payment(tx, ask.payment_id)
    assert payment is not None
    left = balances(await queries.entries(tx, payment.id))
    refund = await _of_an_earlier_version(tx, payment, ask, left) if ask.refund_id is None else None
    if ask.refund_id is not None:
        refund = await queries.refund(tx, ask.refund_id)
    if refund is None or not refund.is_open:
        return None
    if left.get(refund.provider_payment, 0) < refund.amount_minor:
        # Someone gave it back in the gateway's own pages, and its webhook was quicker.
        log.warning("a refund is not needed any more", extra={"refund_id": str(refund.id)})
        await queries.end_refund(tx, refund.id, None, "failed")
        return None
    return payment, refund


async def write_refund(tx: Tx, ask: RefundMade) -> None:
    """Write what the gateway made of a return into the ledger and tell; nothing when it stands there already."""
    refund = await queries.refund(tx, ask.refund_id)
    assert refund is not None
    payment = await queries.locked_payment(tx, refund.payment_id)
    assert payment is not None
    await queries.end_refund(tx, refund.id, ask.provider_refund, ask.state)
    if ask.state == "failed":
        log.error("a refund failed at the gateway", extra={"payment_id": str(payment.id), "refund_id": str(refund.id)})
    if ask.state == "done" and await queries.add_entry(
        tx,
        payment,
        EntryKind.REFUNDED,
        refund.amount_minor,
        ask.provider_refund,
        attempt=refund.provider_payment,
    ):
        await write_down(tx, payment)
        tx.emit(
            PaymentRefunded(
                payment_id=payment.id, consultation_id=payment.consultation_id, amount_minor=refund.amount_minor
            )
        )


async def _ask(tx: Tx, payment: Payment, attempt: str, amount_minor: int, reason: RefundReason) -> None:
    refund = await queries.add_refund(tx, payment.id, attempt, amount_minor, reason)
    tx.emit(
        PaymentRefundDue(
            payment_id=payment.id,
            consultation_id=payment.consultation_id,
            provider_payment=attempt,
            refund_id=refund.id,
        )
    )


async def _of_an_earlier_version(tx: Tx, payment: Payment, ask: RefundAtGateway, left: dict[str, int]) -> Refund | None:
    for refund in await queries.refunds(tx, payment.id):
        if refund.provider_payment == ask.provider_payment:
            return refund
    minor = left.get(ask.provider_payment, 0)
    return await queries.add_refund(tx, payment.id, ask.provider_payment, minor, "cancelled") if minor > 0 else None
