"""The checkout page's truth: what is to be paid, whether it still can be, and where."""

from __future__ import annotations

from server.core.errors import NotFound
from server.core.settings import Settings
from server.core.tx import Role, Tx
from server.payments import queries
from server.payments.gateway import RAZORPAY, SANDBOX
from server.payments.gateways.razorpay import pay_form
from server.payments.models import Checkout, PayForm, Payment, ReadPayment
from server.payments.order import order_of


async def read_checkout(tx: Tx, ask: ReadPayment, *, settings: Settings) -> Checkout:
    """What the checkout page shows its patient. Raises NotFound for anybody else."""
    payment = await queries.payment(tx, ask.id)
    if payment is None or tx.actor.role is not Role.PATIENT or payment.patient_id != tx.actor.patient_id:
        raise NotFound
    return Checkout(
        payment=payment.shown(),
        consultation_id=payment.consultation_id,
        sandbox=payment.provider == SANDBOX,
        pay_url=await _pay_url(tx, payment),
        pay_form=_pay_form(payment, settings),
    )


async def _pay_url(tx: Tx, payment: Payment) -> str | None:
    if payment.provider_order is None or payment.provider in (SANDBOX, RAZORPAY):
        return None
    return await queries.pay_url(tx, payment.provider, payment.provider_order)


def _pay_form(payment: Payment, settings: Settings) -> PayForm | None:
    key_id = settings.razorpay_key_id
    if payment.provider != RAZORPAY or payment.provider_order is None or payment.expires_at is None or key_id is None:
        return None
    return pay_form(settings.razorpay_url, key_id, order_of(payment, settings), payment.provider_order)
