"""The gateway: what payments ask of one, how its webhooks are signed, and the sandbox that stands in for a real one."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from server.core.clock import Clock
from server.core.errors import Unauthenticated
from server.core.ids import PaymentId
from server.core.money import Money
from server.core.settings import Settings

SANDBOX = "sandbox"
HOUSE = "house"  # free of charge: captured by ourselves
SIGNATURE = "Amrutam-Signature"
TOLERANCE_SECONDS = 300

Verify = Callable[[bytes, Mapping[str, str]], None]


class WrongSignature(Unauthenticated):
    """The signature is not the gateway's over the bytes received, or its time is more than five minutes off."""

    code = "wrong-signature"
    title = "This was not signed by the gateway."


class Gateway(Protocol):
    """What the worker asks of a payment provider. `key` makes a call that is repeated the same call."""

    @property
    def name(self) -> str: ...

    async def open_order(self, order: PaymentId, money: Money, key: str) -> str:
        """Open an order for our payment; the provider's name of it."""
        ...

    async def refund(self, provider_payment: str, money: Money, key: str) -> str:
        """Give so much of a captured attempt back; the provider's name of the refund."""
        ...


class SandboxGateway:
    """A provider without money: orders open at once, refunds are done at once."""

    name = SANDBOX

    async def open_order(self, order: PaymentId, money: Money, key: str) -> str:
        """The order's name follows from ours, so that asking twice is asking once."""
        return f"order_{order.hex}"

    async def refund(self, provider_payment: str, money: Money, key: str) -> str:
        """The refund's name follows from the key, so that a call that is repeated is one refund."""
        return f"rfnd_{hashlib.sha256(f'{provider_payment}|{key}'.encode()).hexdigest()[:24]}"


def sign(body: bytes, secret: str, at: datetime) -> str:
    """The signature header of a body: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""
    t = int(at.timestamp())
    return f"t={t},v1={_mac(body, secret, str(t))}"


def verifier(settings: Settings, clock: Clock) -> Verify:
    """A check of webhooks as they arrive. It raises WrongSignature before anything of the body is parsed."""
    secret = settings.sandbox_secret.get_secret_value()

    def verify(body: bytes, headers: Mapping[str, str]) -> None:
        t = ""
        macs: list[str] = []
        for part in headers.get(SIGNATURE, "")[:1000].split(","):
            name, _, value = part.strip().partition("=")
            if name == "t":
                t = value
            elif name == "v1":
                macs.append(value)
        if not (t.isascii() and t.isdigit() and len(t) <= 12):
            raise WrongSignature
        wanted = _mac(body, secret, t).encode()
        if not any(hmac.compare_digest(wanted, mac.encode()) for mac in macs):
            raise WrongSignature
        if abs(clock().timestamp() - int(t)) > TOLERANCE_SECONDS:
            raise WrongSignature

    return verify


def _mac(body: bytes, secret: str, t: str) -> str:
    return hmac.new(secret.encode(), t.encode() + b"." + body, hashlib.sha256).hexdigest()
