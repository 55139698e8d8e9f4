"""Payment providers for tests: servers on loopback that speak the documented requests and insist on them."""

from tests.gateways.provider import Provider, Trouble
from tests.gateways.razorpay import Razorpay
from tests.gateways.stripe import Stripe

__all__ = ["Provider", "Razorpay", "Stripe", "Trouble"]
