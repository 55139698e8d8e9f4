"""The gateway: what payments ask of a provider, whichever it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Literal, Protocol

from server.core.errors import Conflict, Unavailable
from server.core.ids import PaymentId
from server.core.models import Model
from server.core.money import Money
from server.core.privacy import Level
from server.payments.models import RefundId, Report

SANDBOX = "sandbox"
RAZORPAY = "razorpay"
STRIPE = "stripe"
HOUSE = "house"  # free of charge: captured by ourselves


def order_by_our_name(provider: str, payment_id: PaymentId) -> str | None:
    """The order's name where it follows from ours, so that it stands with the payment from its first moment.

    The sandbox's does. Others name their orders themselves: the worker asks them.
    """
    return f"order_{payment_id.hex}" if provider == SANDBOX else None


class GatewayAway(Unavailable):
    """The gateway did not answer in time, or says that it cannot now. The same call again, later, is the way."""

    code = "gateway-away"
    title = "The payment gateway is away for a moment."


class GatewayRefused(Conflict):
    """The gateway understood and will not. Asking again changes nothing: someone has to look."""

    code = "gateway-refused"
    title = "The payment gateway refuses this."


class OrderToOpen(Model):
    """A payment that its patient is about to make, and the page of ours that the gateway sends back to."""

    payment_id: PaymentId
    money: Money
    expires_at: datetime
    page_url: Annotated[str, Level.INTERNAL]


class OpenedOrder(Model):
    """The provider's name of the order, and where it is paid when that is an address."""

    provider_order: Annotated[str, Level.INTERNAL]
    pay_url: Annotated[str | None, Level.INTERNAL] = None


class ReturnToMake(Model):
    """Money of one captured attempt that goes back."""

    payment_id: PaymentId
    refund_id: RefundId
    attempt: Annotated[str, Level.INTERNAL]
    money: Money


class ReturnMade(Model):
    """The provider's name of the return. One that is pending is reported later, by webhook or in the books."""

    provider_refund: Annotated[str, Level.INTERNAL]
    state: Literal["done", "pending", "failed"]


class Gateway(Protocol):
    """What the worker asks of a provider. `key` makes a call that is repeated the same call.

    Every call raises GatewayAway for what is worth trying again, GatewayRefused for what is not.
    """

    @property
    def name(self) -> str: ...

    async def open_order(self, order: OrderToOpen, key: str) -> OpenedOrder:
        """Open an order for our payment."""
        ...

    async def close_order(self, provider_order: str, key: str) -> None:
        """See to it that an order can no longer be paid, where the provider can do that."""
        ...

    async def refund(self, back: ReturnToMake, key: str) -> ReturnMade:
        """Give money back."""
        ...

    def statement(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Report]] | None:
        """The provider's own books: what was captured and returned, page by page; None for one that keeps none."""
        ...


class Gateways:
    """The providers that are set up, by name."""

    def __init__(self, gateways: Sequence[Gateway]) -> None:
        self._by_name: Mapping[str, Gateway] = {gateway.name: gateway for gateway in gateways}

    def __getitem__(self, provider: str) -> Gateway:
        if provider not in self._by_name:
            raise GatewayRefused(f"The keys of {provider} are not set.")
        return self._by_name[provider]

    @property
    def names(self) -> list[str]:
        """Who they are."""
        return list(self._by_name)
