"""The gateways there are: the sandbox, Razorpay, Stripe. Each speaks one provider's language, and nobody else does."""

from __future__ import annotations

from server.core.settings import Environment, Settings
from server.payments.gateway import SANDBOX, Gateway, Gateways
from server.payments.gateways.razorpay import RazorpayGateway
from server.payments.gateways.sandbox import SandboxGateway
from server.payments.gateways.stripe import StripeGateway


def gateways_of(settings: Settings) -> Gateways:
    """Every provider that has its keys. Payments stay with the one they began at, also when new ones go elsewhere."""
    found: list[Gateway] = []
    if has_sandbox(settings):
        found.append(SandboxGateway())
    if settings.razorpay_key_id is not None and settings.razorpay_key_secret is not None:
        secret = settings.razorpay_key_secret.get_secret_value()
        found.append(
            RazorpayGateway(settings.razorpay_url, settings.razorpay_key_id, secret, settings.gateway_timeout_seconds)
        )
    if settings.stripe_key is not None:
        key = settings.stripe_key.get_secret_value()
        found.append(StripeGateway(settings.stripe_url, key, settings.gateway_timeout_seconds))
    return Gateways(found)


def has_sandbox(settings: Settings) -> bool:
    """Whether money may be played with: where there is no real one, or nothing else was chosen."""
    return settings.environment is not Environment.PRODUCTION or settings.gateway == SANDBOX


__all__ = ["RazorpayGateway", "SandboxGateway", "StripeGateway", "gateways_of", "has_sandbox"]
