"""What can be asked of notifications."""

from __future__ import annotations

from functools import partial

from server.core.cipher import Cipher
from server.core.errors import Invalid, NotFound
from server.core.routes import Route, delete, get, post, public, signed_form_by, signed_in
from server.core.settings import Settings
from server.notifications.devices import EndpointRefused, add_device, list_devices, remove_device
from server.notifications.report import take_report
from server.notifications.sms import SIGNATURE, WrongSignature, status_verifier

TAGS = ("notifications",)


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The lines of notifications."""
    return [
        get("/me/push", partial(list_devices, settings=settings), access=signed_in, tags=TAGS),
        post(
            "/me/push",
            partial(add_device, cipher=cipher, settings=settings),
            status=201,
            access=signed_in,
            raises=[EndpointRefused, Invalid],
            tags=TAGS,
        ),
        delete("/me/push/{id}", remove_device, access=signed_in, raises=[NotFound], tags=TAGS),
        post(
            "/notifications/status/{provider}",
            take_report,
            access=public,
            body=signed_form_by(
                status_verifier(settings), headers={SIGNATURE: "Twilio's signature of address and form."}
            ),
            raises=[WrongSignature, NotFound],
            tags=TAGS,
        ),
    ]
