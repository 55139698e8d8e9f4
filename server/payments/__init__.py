"""Payments: one a consultation, worth the balance of its ledger; a gateway is asked by the worker only."""

from server.payments.books import (
    DIFFERENCES,
    begin_reconciliations,
    list_differences,
    open_differences,
    reconcile,
    reconcile_now,
    with_books,
)
from server.payments.books_models import Difference, Differences, ListDifferences, Reconcile
from server.payments.checkout import read_checkout
from server.payments.events import (
    PaymentCaptured,
    PaymentChanged,
    PaymentFailed,
    PaymentOrderDue,
    PaymentRefundDue,
    PaymentRefunded,
    ReconciliationDue,
    SandboxReportsDue,
)
from server.payments.gateway import (
    HOUSE,
    SANDBOX,
    Gateway,
    GatewayAway,
    GatewayRefused,
    Gateways,
    order_by_our_name,
)
from server.payments.gateways import gateways_of
from server.payments.gateways.sandbox import SIGNATURE, SandboxGateway, verifier
from server.payments.hold import hold_until
from server.payments.ledger import open_payment
from server.payments.models import (
    AskForOrder,
    Checkout,
    CloseOrder,
    PayForm,
    PayInSandbox,
    Payment,
    PaymentStatus,
    ReadPayment,
    RefundAtGateway,
    RefundPayment,
    SendSandboxReports,
    TakeWebhook,
    WebhookTaken,
)
from server.payments.order import ask_gateway_for_order, close_order_at_gateway
from server.payments.queries import holds_due, locked_payment, locked_payment_of, payment, payment_of
from server.payments.refund import (
    MoreThanCaptured,
    NothingToRefund,
    ask_for_refund,
    refund_at_gateway,
    refund_payment,
    returnable,
    settle_cancelled,
)
from server.payments.routes import routes, sandbox_routes
from server.payments.sandbox_checkout import AlreadyPaid, pay_in_sandbox, send_sandbox_reports
from server.payments.signature import WrongSignature, sign
from server.payments.webhook import take_webhook

__all__ = [
    "DIFFERENCES",
    "HOUSE",
    "SANDBOX",
    "SIGNATURE",
    "AlreadyPaid",
    "AskForOrder",
    "Checkout",
    "CloseOrder",
    "Difference",
    "Differences",
    "Gateway",
    "GatewayAway",
    "GatewayRefused",
    "Gateways",
    "ListDifferences",
    "MoreThanCaptured",
    "NothingToRefund",
    "PayForm",
    "PayInSandbox",
    "Payment",
    "PaymentCaptured",
    "PaymentChanged",
    "PaymentFailed",
    "PaymentOrderDue",
    "PaymentRefundDue",
    "PaymentRefunded",
    "PaymentStatus",
    "ReadPayment",
    "Reconcile",
    "ReconciliationDue",
    "RefundAtGateway",
    "RefundPayment",
    "SandboxGateway",
    "SandboxReportsDue",
    "SendSandboxReports",
    "TakeWebhook",
    "WebhookTaken",
    "WrongSignature",
    "ask_for_refund",
    "ask_gateway_for_order",
    "begin_reconciliations",
    "close_order_at_gateway",
    "gateways_of",
    "hold_until",
    "holds_due",
    "list_differences",
    "locked_payment",
    "locked_payment_of",
    "open_differences",
    "open_payment",
    "order_by_our_name",
    "pay_in_sandbox",
    "payment",
    "payment_of",
    "read_checkout",
    "reconcile",
    "reconcile_now",
    "refund_at_gateway",
    "refund_payment",
    "returnable",
    "routes",
    "sandbox_routes",
    "send_sandbox_reports",
    "settle_cancelled",
    "sign",
    "take_webhook",
    "verifier",
    "with_books",
]
