"""What payments take and give: a payment, its ledger, the gateway's webhooks."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, NewType
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, Field

from server.consultations import ConsultationPayment
from server.core.ids import ConsultationId, PatientId, PaymentId
from server.core.models import Ask, Currency, Line, Model
from server.core.money import Money
from server.core.privacy import Level

RefundId = NewType("RefundId", UUID)
RefundReason = Literal["cancelled", "duplicate", "late", "administrator"]


class PaymentStatus(StrEnum):
    """What the ledger's balance makes of a payment."""

    PENDING = "pending"
    AUTHORISED = "authorised"
    CAPTURED = "captured"
    FAILED = "failed"
    EXPIRED = "expired"
    REFUNDED = "refunded"


class EntryKind(StrEnum):
    """What a ledger entry says that the gateway did."""

    AUTHORISED = "authorised"
    CAPTURED = "captured"
    REFUNDED = "refunded"
    FAILED = "failed"
    REFUND_FAILED = "refund_failed"


class Entry(Model):
    """One line of the ledger. `provider_payment` is the gateway's name for the attempt, or for the return; a return
    with a name of its own says in `attempt` what it comes out of."""

    payment_id: PaymentId
    kind: EntryKind
    amount_minor: int
    provider_payment: Annotated[str, Level.INTERNAL]
    attempt: Annotated[str | None, Level.INTERNAL] = None
    reconciled: bool = False

    @property
    def of(self) -> str:
        """The attempt that the line is about."""
        return self.attempt or self.provider_payment


class Refund(Model):
    """A return that was asked for. It is open until the gateway has done it, or has failed to."""

    id: RefundId
    payment_id: PaymentId
    provider_payment: Annotated[str, Level.INTERNAL]
    amount_minor: int
    reason: RefundReason
    provider_refund: Annotated[str | None, Level.INTERNAL]
    done_at: datetime | None
    failed_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether its money is still to go."""
        return self.done_at is None and self.failed_at is None


class Payment(Model):
    """A payment as features see it."""

    id: PaymentId
    consultation_id: ConsultationId
    patient_id: Annotated[PatientId, Level.SENSITIVE]
    status: PaymentStatus
    amount_minor: int
    currency: Currency
    provider: Annotated[str, Level.PUBLIC]
    provider_order: Annotated[str | None, Level.INTERNAL]
    expires_at: datetime | None
    settled_at: datetime | None

    @property
    def money(self) -> Money:
        """What is to be paid."""
        return Money(amount_minor=self.amount_minor, currency=self.currency)

    def shown(self) -> ConsultationPayment:
        """The payment as a consultation shows it: the checkout's address while there is something to pay."""
        payable = self.status in (PaymentStatus.PENDING, PaymentStatus.FAILED)
        return ConsultationPayment(
            id=self.id,
            status=self.status.value,
            amount=self.amount_minor,
            currency=self.currency,
            checkout_url=f"/checkout/{self.id}" if payable else None,
            expires_at=self.expires_at,
        )


def _whole(value: object) -> object:
    """Gateways write 580000.0 for 580000: the same number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Amount = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=10**12)]
WebhookType = Literal["payment.authorized", "payment.captured", "payment.failed", "order.paid", "refund.processed"]


class Report(Model):
    """What a gateway says, in our words, whichever gateway and whether it wrote or was asked.

    `order` is our payment where the report names it; else it is found by the gateway's order, or by the attempt.
    """

    provider: Annotated[str, Level.PUBLIC]
    event: Annotated[str | None, Level.INTERNAL]
    """The gateway's name of the webhook; None for what was read in its books."""
    type: Annotated[str, Level.PUBLIC]
    kind: EntryKind
    order: PaymentId | None
    provider_order: Annotated[str | None, Level.INTERNAL] = None
    attempt: Annotated[str, Level.INTERNAL]
    refund: Annotated[str | None, Level.INTERNAL] = None
    """The gateway's name of the return, where it has one."""
    refund_id: RefundId | None = None
    amount_minor: int
    currency: Currency


class TakeWebhook(Ask):
    """What the sandbox tells. It may say more than we read: what it adds tomorrow must not stop it."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[Line, Level.INTERNAL]
    type: WebhookType
    order: PaymentId
    payment: Annotated[Line, Level.INTERNAL]
    refund: Annotated[Line, Level.INTERNAL] | None = None
    amount: Amount
    currency: Currency


class WebhookTaken(Model):
    """Whether this webhook was new."""

    received: bool = True
    duplicate: bool


class RefundPayment(Ask):
    """The payment to give back: so much of it, in minor units, or what is left of it."""

    id: PaymentId
    amount: Annotated[int, Field(ge=1, le=10**12)] | None = None


class ReadPayment(Ask):
    """The payment whose checkout is opened."""

    id: PaymentId


class PayInSandbox(Ask):
    """How the sandbox's checkout ends, and how badly its webhooks travel: late, more than once, in another order.

    Abandoned, nothing is sent: the hold ends by itself.
    """

    id: PaymentId
    outcome: Literal["paid", "failed", "abandoned"]
    delay_seconds: Annotated[float, Field(ge=0, le=240)] | None = None
    duplicates: int = Field(default=0, ge=0, le=10)
    reorder: bool = False


class SendSandboxReports(Ask):
    """The webhooks of one attempt in the sandbox, and when they are sent."""

    payment_id: PaymentId
    attempt: Annotated[str, Level.INTERNAL]
    paid: bool
    due_at: datetime
    duplicates: int
    reorder: bool


class AskForOrder(Ask):
    """The consultation whose payment needs an order at the gateway."""

    consultation_id: ConsultationId


class CloseOrder(Ask):
    """The consultation that will not take place."""

    consultation_id: ConsultationId


class KeepOrder(Ask):
    """The gateway's name of an order, and where it is paid when that is an address."""

    payment_id: PaymentId
    provider_order: Annotated[str, Level.INTERNAL]
    pay_url: Annotated[str | None, Level.INTERNAL] = None


class RefundAtGateway(Ask):
    """One return to make. Without `refund_id` it was asked for by an earlier version: all of the attempt."""

    payment_id: PaymentId
    provider_payment: Annotated[str, Level.INTERNAL]
    refund_id: RefundId | None = None


class RefundMade(Ask):
    """What the gateway made of a return."""

    refund_id: RefundId
    provider_refund: Annotated[str, Level.INTERNAL]
    state: Literal["done", "pending", "failed"]


class PayField(Model):
    """A hidden field of a form."""

    name: Annotated[str, Level.INTERNAL]
    value: Annotated[str, Level.INTERNAL]


class PayForm(Model):
    """The form that takes a patient to a gateway's own checkout."""

    action: Annotated[str, Level.INTERNAL]
    fields: list[PayField]


class Checkout(Model):
    """What the checkout page shows: the truth at the moment it is opened. A real gateway is reached by the address or
    by the form; with neither, its order is still being opened."""

    payment: ConsultationPayment
    consultation_id: ConsultationId
    sandbox: bool
    pay_url: Annotated[str | None, Level.INTERNAL] = None
    pay_form: PayForm | None = None


class StoredWebhook(Model):
    """A webhook as it is kept: who sent which event, never its words."""

    id: UUID
    provider: Annotated[str, Level.PUBLIC]
    provider_event: Annotated[str, Level.INTERNAL]
    type: Annotated[str, Level.PUBLIC]
    body_hash: bytes
