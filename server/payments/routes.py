"""What can be asked of payments."""

from __future__ import annotations

from functools import partial

from server.core.clock import Clock
from server.core.errors import Invalid, NotFound
from server.core.routes import Idempotent, Route, as_admin, get, post, public, signed_by, stepped_up
from server.core.settings import Environment, Settings
from server.payments.books import list_differences, reconcile_now
from server.payments.gateways import has_sandbox, razorpay, stripe
from server.payments.gateways.sandbox import SIGNATURE, verifier
from server.payments.refund import MoreThanCaptured, NothingToRefund, refund_payment
from server.payments.sandbox_checkout import AlreadyPaid, pay_in_sandbox
from server.payments.signature import WrongSignature, plain_verifier, timed_verifier
from server.payments.webhook import take_webhook

TIMED = '`t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`, at most five minutes old; several `v1` are tried.'


def routes(settings: Settings, clock: Clock) -> list[Route]:
    """The lines of payments, under the API's prefix."""
    return [
        *webhook_routes(settings, clock),
        post(
            "/payments/{id}/refund",
            refund_payment,
            status=202,
            access=stepped_up(as_admin),
            idempotent=Idempotent.REQUIRED,
            raises=[NotFound, NothingToRefund, MoreThanCaptured],
            tags=["payments"],
        ),
        get(
            "/admin/payments/differences",
            list_differences,
            access=as_admin,
            raises=[Invalid],
            tags=["payments"],
        ),
        post(
            "/admin/payments/reconciliations",
            partial(reconcile_now, settings=settings),
            status=202,
            access=as_admin,
            tags=["payments"],
        ),
    ]


def webhook_routes(settings: Settings, clock: Clock) -> list[Route]:
    """One line for each gateway that is set up: what it sends and how it signs is its own."""
    raises = [WrongSignature, Invalid, NotFound]
    lines: list[Route] = []
    if has_sandbox(settings):
        body = signed_by(verifier(settings, clock), headers={SIGNATURE: TIMED})
        path = "/payments/webhooks/sandbox"
        lines.append(post(path, take_webhook, access=public, body=body, raises=raises, tags=["payments"]))
    if settings.razorpay_webhook_secret is not None:
        secret = settings.razorpay_webhook_secret.get_secret_value()
        body = signed_by(
            plain_verifier(razorpay.SIGNATURE, secret, razorpay.EVENT_ID),
            headers={
                razorpay.SIGNATURE: "Hex HMAC-SHA256 of the raw body.",
                razorpay.EVENT_ID: "The event's own name: the same when it is sent again.",
            },
        )
        path = "/payments/webhooks/razorpay"
        take = razorpay.take_razorpay_webhook
        lines.append(post(path, take, access=public, body=body, raises=raises, tags=["payments"]))
    if settings.stripe_webhook_secret is not None:
        secret = settings.stripe_webhook_secret.get_secret_value()
        body = signed_by(timed_verifier(stripe.SIGNATURE, secret, clock), headers={stripe.SIGNATURE: TIMED})
        path = "/payments/webhooks/stripe"
        take = stripe.take_stripe_webhook
        lines.append(post(path, take, access=public, body=body, raises=raises, tags=["payments"]))
    return lines


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
