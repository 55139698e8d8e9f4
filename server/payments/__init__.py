"""Payments: one a consultation, worth the balance of its ledger; a gateway is asked by the worker only."""

from server.payments.checkout import AlreadyPaid, pay_in_sandbox, read_checkout
from server.payments.events import (
    PaymentCaptured,
    PaymentChanged,
    PaymentFailed,
    PaymentRefundDue,
    PaymentRefunded,
)
from server.payments.gateway import HOUSE, SANDBOX, SIGNATURE, Gateway, SandboxGateway, WrongSignature, sign, verifier
from server.payments.hold import hold_until
from server.payments.ledger import open_payment
from server.payments.models import (
    AskForOrder,
    Checkout,
    PayInSandbox,
    Payment,
    PaymentStatus,
    ReadPayment,
    RefundAtGateway,
    RefundPayment,
    TakeWebhook,
    WebhookTaken,
)
from server.payments.order import ask_gateway_for_order
from server.payments.queries import holds_due, locked_payment, locked_payment_of, payment, payment_of
from server.payments.refund import (
    MoreThanCaptured,
    NothingToRefund,
    ask_for_refund,
    refund_at_gateway,
    refund_payment,
    settle_cancelled,
)
from server.payments.routes import routes, sandbox_routes
from server.payments.webhook import take_webhook

__all__ = [
    "HOUSE",
    "SANDBOX",
    "SIGNATURE",
    "AlreadyPaid",
    "AskForOrder",
    "Checkout",
    "Gateway",
    "MoreThanCaptured",
    "NothingToRefund",
    "PayInSandbox",
    "Payment",
    "PaymentCaptured",
    "PaymentChanged",
    "PaymentFailed",
    "PaymentRefundDue",
    "PaymentRefunded",
    "PaymentStatus",
    "ReadPayment",
    "RefundAtGateway",
    "RefundPayment",
    "SandboxGateway",
    "TakeWebhook",
    "WebhookTaken",
    "WrongSignature",
    "ask_for_refund",
    "ask_gateway_for_order",
    "hold_until",
    "holds_due",
    "locked_payment",
    "locked_payment_of",
    "open_payment",
    "pay_in_sandbox",
    "payment",
    "payment_of",
    "read_checkout",
    "refund_at_gateway",
    "refund_payment",
    "routes",
    "sandbox_routes",
    "settle_cancelled",
    "sign",
    "take_webhook",
    "verifier",
]
