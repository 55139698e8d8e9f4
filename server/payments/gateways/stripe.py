"""Stripe: Checkout Sessions, webhooks with a time in their signature, refunds, its list of payment intents."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from server.core.errors import FieldError, Invalid
from server.core.ids import PaymentId
from server.core.models import Ask, Line
from server.core.privacy import Level
from server.core.tx import Tx
from server.payments.gateway import STRIPE, GatewayRefused, OpenedOrder, OrderToOpen, ReturnMade, ReturnToMake
from server.payments.gateways import wire
from server.payments.models import Amount, EntryKind, RefundId, Report, WebhookTaken
from server.payments.webhook import take_report

SIGNATURE = "Stripe-Signature"
VERSION = "2024-06-20"  # of the answers; webhooks come in the version of their endpoint
PAGE = 100
OUR_PAYMENT = "amrutam_payment"
OUR_REFUND = "amrutam_refund"
# A session lives thirty minutes at least, counted from when it is opened; it is closed when the hold ends. The same
# call again must be the same to the letter, so the time follows from the hold and not from the clock.
SESSION_AFTER_HOLD = timedelta(minutes=45)

SESSIONS = {
    "checkout.session.completed": EntryKind.CAPTURED,
    "checkout.session.async_payment_succeeded": EntryKind.CAPTURED,
    "checkout.session.async_payment_failed": EntryKind.FAILED,
}
INTENTS = {
    "payment_intent.succeeded": EntryKind.CAPTURED,
    "payment_intent.processing": EntryKind.AUTHORISED,
    "payment_intent.amount_capturable_updated": EntryKind.AUTHORISED,
    "payment_intent.payment_failed": EntryKind.FAILED,
}
# `charge.refunded` tells a sum, not a return: each return tells of itself in one of these.
RETURNS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
REFUND_STATES = {
    "succeeded": EntryKind.REFUNDED,
    "failed": EntryKind.REFUND_FAILED,
    "canceled": EntryKind.REFUND_FAILED,
}


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


StripeCurrency = Annotated[str, BeforeValidator(_upper), Field(pattern=r"^[A-Z]{3}$"), Level.PUBLIC]
Metadata = Annotated[dict[str, JsonValue] | None, Level.INTERNAL]


class Thing(Ask):
    """A session, a payment intent or a refund, in Stripe's words; which of them, the event says."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[Line, Level.INTERNAL]
    amount: Amount | None = None
    amount_total: Amount | None = None
    amount_received: Amount | None = None
    currency: StripeCurrency | None = None
    payment_status: Annotated[str | None, Level.INTERNAL] = None
    status: Annotated[str | None, Level.INTERNAL] = None
    payment_intent: Annotated[Line, Level.INTERNAL] | None = None
    client_reference_id: Annotated[str | None, Level.INTERNAL] = None
    metadata: Metadata = None


class Data(Ask):
    """What an event is about."""

    model_config = ConfigDict(extra="ignore")

    object: Annotated[dict[str, JsonValue], Level.INTERNAL]


class TakeStripeWebhook(Ask):
    """An event of Stripe. It may say more than we read."""

    model_config = ConfigDict(extra="ignore")

    id: Annotated[Line, Level.INTERNAL]
    type: Annotated[Line, Level.INTERNAL]
    data: Data


async def take_stripe_webhook(tx: Tx, ask: TakeStripeWebhook) -> WebhookTaken:
    """Write a report of Stripe into the ledger. Events that we do not know are answered as taken.

    Raises Invalid, changing nothing, when order, amount or currency are not ours.
    """
    report = report_of(ask)
    return WebhookTaken(duplicate=False) if report is None else await take_report(tx, report)


def report_of(ask: TakeStripeWebhook) -> Report | None:
    """An event in our words; None for one that is not about money coming or going. Raises Invalid for a hollow one."""
    if ask.type not in SESSIONS and ask.type not in INTENTS and ask.type not in RETURNS:
        return None
    try:
        thing = Thing.model_validate(ask.data.object)
    except ValueError:
        raise _hollow("data.object") from None
    if ask.type in SESSIONS:
        return _session(thing, ask)
    if ask.type in INTENTS:
        return _intent(thing, INTENTS[ask.type], ask.type, ask.id)
    kind = REFUND_STATES.get(thing.status or "")
    return None if kind is None else _return(thing, kind, ask.type, ask.id)


class _Session(BaseModel):
    id: str
    url: str | None = None


class _Refund(BaseModel):
    id: str
    status: str | None = None


class _Things(BaseModel):
    data: list[Thing]
    has_more: bool = False


class StripeGateway:
    """Stripe's API, with the secret key as user."""

    name = STRIPE

    def __init__(self, url: str, key: str, timeout_seconds: float) -> None:
        self._line = wire.Line(STRIPE, url, key, "", timeout_seconds)

    async def open_order(self, order: OrderToOpen, key: str) -> OpenedOrder:
        """Open a Checkout Session; its address is where the patient pays. Nothing of it tells what the money is for."""
        expires = order.expires_at + SESSION_AFTER_HOLD
        form = {
            "mode": "payment",
            "client_reference_id": str(order.payment_id),
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": order.money.currency.lower(),
            "line_items[0][price_data][unit_amount]": str(order.money.amount_minor),
            "line_items[0][price_data][product_data][name]": "Amrutam",
            f"metadata[{OUR_PAYMENT}]": str(order.payment_id),
            f"payment_intent_data[metadata][{OUR_PAYMENT}]": str(order.payment_id),
            "success_url": order.page_url,
            "cancel_url": order.page_url,
            "expires_at": str(int(expires.timestamp())),
        }
        session = await self._line.call("POST", "/v1/checkout/sessions", _Session, form=form, headers=_headers(key))
        return OpenedOrder(provider_order=session.id, pay_url=session.url)

    async def close_order(self, provider_order: str, key: str) -> None:
        """Expire the session. One that is paid or expired already is left as it is."""
        path = f"/v1/checkout/sessions/{wire.part(provider_order)}/expire"
        try:
            await self._line.call("POST", path, _Session, form={}, headers=_headers(key))
        except GatewayRefused:
            return

    async def refund(self, back: ReturnToMake, key: str) -> ReturnMade:
        """Refund a payment intent, whole or in part."""
        form = {
            "payment_intent": back.attempt,
            "amount": str(back.money.amount_minor),
            "reason": "requested_by_customer",
            f"metadata[{OUR_PAYMENT}]": str(back.payment_id),
            f"metadata[{OUR_REFUND}]": str(back.refund_id),
        }
        made = await self._line.call("POST", "/v1/refunds", _Refund, form=form, headers=_headers(key))
        kind = REFUND_STATES.get(made.status or "")
        state = "pending" if kind is None else "done" if kind is EntryKind.REFUNDED else "failed"
        return ReturnMade(provider_refund=made.id, state=state)

    def statement(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Report]] | None:
        """Payment intents that succeeded, then refunds, made between the two."""
        return self._pages(since, until)

    async def _pages(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Report]]:
        window = {
            "created[gte]": str(int(since.timestamp())),
            "created[lt]": str(int(until.timestamp())),
            "limit": str(PAGE),
        }
        async for things in self._listed("/v1/payment_intents", window):
            yield [
                _intent(item, EntryKind.CAPTURED, "books", None)
                for item in things
                if item.status == "succeeded" and item.currency is not None
            ]
        async for things in self._listed("/v1/refunds", window):
            yield [
                _return(item, REFUND_STATES[item.status or ""], "books", None)
                for item in things
                if item.status in REFUND_STATES and item.payment_intent is not None
            ]

    async def _listed(self, path: str, window: dict[str, str]) -> AsyncIterator[list[Thing]]:
        query = dict(window)
        while True:
            page = await self._line.call("GET", path, _Things, query=query, headers={"Stripe-Version": VERSION})
            yield page.data
            if not page.has_more or not page.data:
                return
            query["starting_after"] = page.data[-1].id


def _headers(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key[:255], "Stripe-Version": VERSION}


def _session(thing: Thing, ask: TakeStripeWebhook) -> Report | None:
    kind = SESSIONS[ask.type]
    if thing.payment_intent is None:
        return None  # a session of another product, without a payment
    if kind is EntryKind.CAPTURED and thing.payment_status != "paid":
        kind = EntryKind.AUTHORISED  # a bank transfer: the money follows, or does not
    return _report(
        kind,
        ask.type,
        ask.id,
        order=_ours(thing.metadata, OUR_PAYMENT) or _uuid(thing.client_reference_id),
        provider_order=thing.id,
        attempt=thing.payment_intent,
        minor=thing.amount_total,
        currency=thing.currency,
    )


def _intent(thing: Thing, kind: EntryKind, type_: str, event: str | None) -> Report:
    received = thing.amount_received if kind is EntryKind.CAPTURED else None
    return _report(
        kind,
        type_,
        event,
        order=_ours(thing.metadata, OUR_PAYMENT),
        attempt=thing.id,
        minor=thing.amount if received is None else received,
        currency=thing.currency,
    )


def _return(thing: Thing, kind: EntryKind, type_: str, event: str | None) -> Report:
    if thing.payment_intent is None:
        raise _hollow("data.object.payment_intent")
    ours = _ours(thing.metadata, OUR_REFUND)
    return _report(
        kind,
        type_,
        event,
        order=_ours(thing.metadata, OUR_PAYMENT),
        attempt=thing.payment_intent,
        refund=thing.id,
        refund_id=RefundId(ours) if ours else None,
        minor=thing.amount,
        currency=thing.currency,
    )


def _report(
    kind: EntryKind,
    type_: str,
    event: str | None,
    *,
    order: UUID | None,
    attempt: str,
    minor: int | None,
    currency: str | None,
    provider_order: str | None = None,
    refund: str | None = None,
    refund_id: RefundId | None = None,
) -> Report:
    if minor is None or currency is None:
        raise _hollow("data.object.amount")
    return Report(
        provider=STRIPE,
        event=event,
        type=type_,
        kind=kind,
        order=PaymentId(order) if order else None,
        provider_order=provider_order,
        attempt=attempt,
        refund=refund,
        refund_id=refund_id,
        amount_minor=minor,
        currency=currency,
    )


def _ours(metadata: Metadata, name: str) -> UUID | None:
    value = (metadata or {}).get(name)
    return _uuid(value) if isinstance(value, str) else None


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _hollow(field: str) -> Invalid:
    return Invalid(errors=[FieldError(field=field, code="missing", message="This event has it.")])
