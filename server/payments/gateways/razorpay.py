"""Razorpay: orders paid on its hosted checkout, webhooks signed over the bare body, refunds, its list of payments."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from server.core.errors import FieldError, Invalid
from server.core.ids import PaymentId
from server.core.models import Ask, Currency, Line
from server.core.privacy import Level
from server.core.tx import Tx
from server.payments.gateway import RAZORPAY, OpenedOrder, OrderToOpen, ReturnMade, ReturnToMake
from server.payments.gateways import wire
from server.payments.models import Amount, EntryKind, PayField, PayForm, RefundId, Report, WebhookTaken
from server.payments.webhook import take_report

SIGNATURE = "X-Razorpay-Signature"
EVENT_ID = "x-razorpay-event-id"
CHECKOUT = "/v1/checkout/embedded"
PAGE = 100
OUR_PAYMENT = "amrutam_payment"
OUR_REFUND = "amrutam_refund"
# What an authorised card is worth to nobody: captured by Razorpay itself, or let go within the hold.
CAPTURE = {
    "capture": "automatic",
    "capture_options": {"automatic_expiry_period": 12, "manual_expiry_period": 7200, "refund_speed": "normal"},
}
ATTEMPTS = {
    "payment.authorized": EntryKind.AUTHORISED,
    "payment.captured": EntryKind.CAPTURED,
    "payment.failed": EntryKind.FAILED,
    "order.paid": EntryKind.CAPTURED,
}
RETURNS = {"refund.processed": EntryKind.REFUNDED, "refund.failed": EntryKind.REFUND_FAILED}
REFUND_STATES = {"processed": EntryKind.REFUNDED, "failed": EntryKind.REFUND_FAILED}

# Notes that nobody wrote come as an empty list.
Notes = Annotated[dict[str, JsonValue] | list[JsonValue], Level.INTERNAL]


class Attempt(Ask):
    """A payment, in Razorpay's words: one try to pay an order."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[Line, Level.INTERNAL]
    amount: Amount
    currency: Currency
    status: Annotated[str, Level.INTERNAL] = ""
    captured: bool | None = None
    order_id: Annotated[Line, Level.INTERNAL] | None = None
    notes: Notes = Field(default_factory=dict[str, JsonValue])


class Return(Ask):
    """A refund, in Razorpay's words."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[Line, Level.INTERNAL]
    payment_id: Annotated[Line, Level.INTERNAL]
    amount: Amount
    currency: Currency
    status: Annotated[str, Level.INTERNAL] = ""
    notes: Notes = Field(default_factory=dict[str, JsonValue])


class AttemptEntity(Ask):
    """A payment in its wrapping."""

    model_config = ConfigDict(extra="ignore")

    entity: Attempt


class ReturnEntity(Ask):
    """A refund in its wrapping."""

    model_config = ConfigDict(extra="ignore")

    entity: Return


class Payload(Ask):
    """What a webhook is about; of what else Razorpay sends there, nothing is read."""

    model_config = ConfigDict(extra="ignore")

    payment: AttemptEntity | None = None
    refund: ReturnEntity | None = None


class TakeRazorpayWebhook(Ask):
    """A webhook of Razorpay. It may say more than we read. `event_id` is the header's."""

    model_config = ConfigDict(extra="ignore")

    event_id: Annotated[Line, Level.INTERNAL]
    event: Annotated[Line, Level.INTERNAL]
    payload: Payload


async def take_razorpay_webhook(tx: Tx, ask: TakeRazorpayWebhook) -> WebhookTaken:
    """Write a report of Razorpay into the ledger. Events that we do not know are answered as taken.

    Raises Invalid, changing nothing, when order, amount or currency are not ours.
    """
    report = report_of(ask)
    return WebhookTaken(duplicate=False) if report is None else await take_report(tx, report)


def report_of(ask: TakeRazorpayWebhook) -> Report | None:
    """A webhook in our words; None for one that is not about money coming or going. Raises Invalid for a hollow one."""
    if ask.event in ATTEMPTS:
        if ask.payload.payment is None:
            raise _hollow("payload.payment")
        return _attempt(ask.payload.payment.entity, ATTEMPTS[ask.event], ask.event, ask.event_id)
    if ask.event in RETURNS:
        if ask.payload.refund is None:
            raise _hollow("payload.refund")
        return _return(ask.payload.refund.entity, RETURNS[ask.event], ask.event, ask.event_id)
    return None


class _Order(BaseModel):
    id: str


class _Orders(BaseModel):
    items: list[_Order]


class _Attempts(BaseModel):
    items: list[Attempt]


class _Returns(BaseModel):
    items: list[Return]


class RazorpayGateway:
    """Razorpay's API, with the key's id and secret as user and password."""

    name = RAZORPAY

    def __init__(self, url: str, key_id: str, key_secret: str, timeout_seconds: float) -> None:
        self._line = wire.Line(RAZORPAY, url, key_id, key_secret, timeout_seconds)

    async def open_order(self, order: OrderToOpen, key: str) -> OpenedOrder:
        """Open an order with our payment as its receipt. Orders take no idempotency key: look for the receipt first."""
        receipt = order.payment_id.hex
        found = await self._line.call("GET", "/v1/orders", _Orders, query={"receipt": receipt})
        if found.items:
            return OpenedOrder(provider_order=found.items[0].id)
        wanted: Mapping[str, object] = {
            "amount": order.money.amount_minor,
            "currency": order.money.currency,
            "receipt": receipt,
            "notes": {OUR_PAYMENT: str(order.payment_id)},
            "payment": CAPTURE,
        }
        opened = await self._line.call("POST", "/v1/orders", _Order, body=wanted)
        return OpenedOrder(provider_order=opened.id)

    async def close_order(self, provider_order: str, key: str) -> None:
        """Orders of Razorpay cannot be closed. Who pays late is kept or paid back."""

    async def refund(self, back: ReturnToMake, key: str) -> ReturnMade:
        """Refund a payment, whole or in part."""
        made = await self._line.call(
            "POST",
            f"/v1/payments/{wire.part(back.attempt)}/refund",
            Return,
            body={
                "amount": back.money.amount_minor,
                "speed": "normal",
                "receipt": back.refund_id.hex,
                "notes": {OUR_PAYMENT: str(back.payment_id), OUR_REFUND: str(back.refund_id)},
            },
            headers={"X-Refund-Idempotency": re.sub(r"[^A-Za-z0-9_-]", "-", key)},
        )
        kind = REFUND_STATES.get(made.status)
        state = "pending" if kind is None else "done" if kind is EntryKind.REFUNDED else "failed"
        return ReturnMade(provider_refund=made.id, state=state)

    def statement(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Report]] | None:
        """Payments that were captured, then refunds, made between the two."""
        return self._pages(since, until)

    async def _pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Report]]:
        window = {"from": str(int(since.timestamp())), "to": str(int(until.timestamp())), "count": str(PAGE)}
        skip = 0
        while True:
            attempts = await self._line.call("GET", "/v1/payments", _Attempts, query={**window, "skip": str(skip)})
            # A refund of what was never captured is Razorpay letting go of it: no money came.
            yield [
                _attempt(item, EntryKind.CAPTURED, "books", None)
                for item in attempts.items
                if item.status == "captured" or (item.status == "refunded" and item.captured is not False)
            ]
            skip += PAGE
            if len(attempts.items) < PAGE:
                break
        skip = 0
        while True:
            returns = await self._line.call("GET", "/v1/refunds", _Returns, query={**window, "skip": str(skip)})
            yield [
                _return(item, REFUND_STATES[item.status], "books", None)
                for item in returns.items
                if item.status in REFUND_STATES
            ]
            skip += PAGE
            if len(returns.items) < PAGE:
                break


def pay_form(url: str, key_id: str, order: OrderToOpen, provider_order: str) -> PayForm:
    """The form of Razorpay's hosted checkout: nothing of it tells what the money is for."""
    fields = {
        "key_id": key_id,
        "order_id": provider_order,
        "amount": str(order.money.amount_minor),
        "currency": order.money.currency,
        "name": "Amrutam",
        f"notes[{OUR_PAYMENT}]": str(order.payment_id),
        "callback_url": f"{order.page_url}/back",
        "cancel_url": order.page_url,
    }
    return PayForm(action=url + CHECKOUT, fields=[PayField(name=name, value=value) for name, value in fields.items()])


def _attempt(item: Attempt, kind: EntryKind, type_: str, event: str | None) -> Report:
    return Report(
        provider=RAZORPAY,
        event=event,
        type=type_,
        kind=kind,
        order=_payment_id(item.notes),
        provider_order=item.order_id,
        attempt=item.id,
        amount_minor=item.amount,
        currency=item.currency,
    )


def _return(item: Return, kind: EntryKind, type_: str, event: str | None) -> Report:
    ours = _note(item.notes, OUR_REFUND)
    return Report(
        provider=RAZORPAY,
        event=event,
        type=type_,
        kind=kind,
        order=_payment_id(item.notes),
        attempt=item.payment_id,
        refund=item.id,
        refund_id=RefundId(ours) if ours else None,
        amount_minor=item.amount,
        currency=item.currency,
    )


def _payment_id(notes: Notes) -> PaymentId | None:
    found = _note(notes, OUR_PAYMENT)
    return PaymentId(found) if found else None


def _note(notes: Notes, name: str) -> UUID | None:
    value = notes.get(name) if isinstance(notes, dict) else None
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _hollow(field: str) -> Invalid:
    return Invalid(errors=[FieldError(field=field, code="missing", message="This event has it.")])
