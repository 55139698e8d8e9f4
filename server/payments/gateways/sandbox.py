"""The sandbox: a provider without money, which orders open at once with and returns are done at once."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from server.core.clock import Clock
from server.core.settings import Settings
from server.payments.gateway import SANDBOX, OpenedOrder, OrderToOpen, ReturnMade, ReturnToMake, order_by_our_name
from server.payments.models import Report
from server.payments.signature import Verify, timed_verifier

SIGNATURE = "Amrutam-Signature"


def verifier(settings: Settings, clock: Clock) -> Verify:
    """A check of the sandbox's webhooks as they arrive. It raises WrongSignature."""
    return timed_verifier(SIGNATURE, settings.sandbox_secret.get_secret_value(), clock)


class SandboxGateway:
    """A provider without money: its checkout is a page of ours."""

    name = SANDBOX

    async def open_order(self, order: OrderToOpen, key: str) -> OpenedOrder:
        """The order's name follows from ours, so that asking twice is asking once."""
        return OpenedOrder(provider_order=order_by_our_name(SANDBOX, order.payment_id) or "")

    async def close_order(self, provider_order: str, key: str) -> None:
        """Whoever pays late here wants to see what comes of it."""

    async def refund(self, back: ReturnToMake, key: str) -> ReturnMade:
        """The return's name follows from the key, so that a call that is repeated is one return."""
        digest = hashlib.sha256(f"{back.attempt}|{key}".encode()).hexdigest()
        return ReturnMade(provider_refund=f"rfnd_{digest[:24]}", state="done")

    def statement(self, since: datetime, until: datetime) -> AsyncIterator[Sequence[Report]] | None:
        """It keeps no books."""
        return None
