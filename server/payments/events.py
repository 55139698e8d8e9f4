"""What payments tell: the parties of the consultation, and the worker."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from server.consultations import CONSULTATION, ConsultationPayment
from server.core.events import Event
from server.core.ids import ConsultationId, PaymentId
from server.core.models import Instant
from server.core.privacy import Level
from server.payments.models import RefundId


class PaymentOrderDue(Event, name="payment.order_due"):
    """The gateway is to be asked for an order. One that calls orders by our names needs no asking."""

    consultation_id: ConsultationId


class PaymentChanged(Event, name="payment.changed", rooms=(CONSULTATION,)):
    """The payment as it now is."""

    consultation_id: ConsultationId
    payment: ConsultationPayment


class PaymentCaptured(Event, name="payment.captured"):
    """The money is there. Whether a place is, too, is decided by who confirms."""

    payment_id: PaymentId
    consultation_id: ConsultationId


class PaymentFailed(Event, name="payment.failed"):
    """An attempt failed; until the hold ends another may be made."""

    payment_id: PaymentId
    consultation_id: ConsultationId


class PaymentRefundDue(Event, name="payment.refund_due"):
    """Captured money must go back, whole or in part: cancelled, paid twice, or paid after the place was sold."""

    payment_id: PaymentId
    consultation_id: ConsultationId
    provider_payment: Annotated[str, Level.INTERNAL]
    refund_id: RefundId | None = None


class PaymentRefunded(Event, name="payment.refunded"):
    """Money went back: `amount_minor` of it (None: all of the payment)."""

    payment_id: PaymentId
    consultation_id: ConsultationId
    amount_minor: int | None = None


class SandboxReportsDue(Event, name="payment.sandbox_reports_due"):
    """Somebody paid, or failed to, in the sandbox, and wanted its webhooks to come late."""

    payment_id: PaymentId
    attempt: Annotated[str, Level.INTERNAL]
    paid: bool
    due_at: Instant
    duplicates: int
    reorder: bool


class ReconciliationDue(Event, name="payment.reconciliation_due"):
    """It is time to look into a gateway's books."""

    id: UUID
    provider: Annotated[str, Level.PUBLIC]
    since: Instant
    until: Instant
