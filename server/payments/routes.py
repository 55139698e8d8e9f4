"""What can be asked of payments."""

from __future__ import annotations

from functools import partial

from server.core.clock import Clock
from server.core.errors import Invalid, NotFound
from server.core.routes import Idempotent, Route, as_admin, post, public, signed_by, stepped_up
from server.core.settings import Environment, Settings
from server.payments.checkout import AlreadyPaid, pay_in_sandbox
from server.payments.gateway import WrongSignature, verifier
from server.payments.refund import MoreThanCaptured, NothingToRefund, refund_payment
from server.payments.webhook import take_webhook


def routes(settings: Settings, clock: Clock) -> list[Route]:
    """The lines of payments, under the API's prefix."""
    return [
        post(
            "/payments/webhooks/{provider}",
            take_webhook,
            access=public,
            body=signed_by(verifier(settings, clock)),
            raises=[WrongSignature, Invalid, NotFound],
            tags=["payments"],
        ),
        post(
            "/payments/{id}/refund",
            refund_payment,
            status=202,
            access=stepped_up(as_admin),
            idempotent=Idempotent.REQUIRED,
            raises=[NotFound, NothingToRefund, MoreThanCaptured],
            tags=["payments"],
        ),
    ]


def sandbox_routes(settings: Settings, clock: Clock) -> list[Route]:
    """The sandbox's own line, without the API's prefix: only where there is no real money."""
    if settings.environment is Environment.PRODUCTION:
        return []
    return [
        post(
            "/dev/sandbox/{id}",
            partial(pay_in_sandbox, settings=settings, verify=verifier(settings, clock)),
            access=public,
            raises=[NotFound, AlreadyPaid],
            tags=["sandbox"],
        ),
    ]
