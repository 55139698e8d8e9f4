"""What messages leave to, for tests: servers on loopback that speak the documented requests and insist on them."""

from tests.outside.mail import posting
from tests.outside.push_service import PushService
from tests.outside.twilio import Twilio

__all__ = ["PushService", "Twilio", "posting"]
