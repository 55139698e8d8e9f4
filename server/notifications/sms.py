"""SMS through Twilio's Messages API: one form an SMS, and signed reports of what became of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from server.core.errors import Unauthenticated
from server.core.routes import Verify
from server.core.settings import Settings
from server.notifications.models import Message, Outcome, State
from server.notifications.providers import TryAgain, post_outside

SIGNATURE = "X-Twilio-Signature"
STATUS_PATH = "/api/v1/notifications/status/twilio"
TOO_MANY = 429
# Twilio's error codes (twilio.com/docs/api/errors): no number, not one that takes SMS, unreachable, unsubscribed.
NOBODY_THERE = frozenset({21211, 21214, 21217, 21265, 21408, 21610, 21612, 21614})
# What is wrong with our account or its funds is mended by us, not by giving the message up.
OUR_FAULT = frozenset({401, 402, 403})


class WrongSignature(Unauthenticated):
    """The signature is not the SMS provider's over what was received."""

    code = "wrong-signature"
    title = "This was not signed by the provider."


class TwilioSms:
    """Hands SMS to Twilio. Its API has no idempotency keys: an answer that is lost can mean a second SMS."""

    def __init__(self, settings: Settings) -> None:
        assert settings.twilio_account is not None
        assert settings.twilio_token is not None
        assert settings.twilio_from is not None
        self._url = f"{settings.twilio_url}/2010-04-01/Accounts/{settings.twilio_account}/Messages.json"
        account = f"{settings.twilio_account}:{settings.twilio_token.get_secret_value()}"
        self._headers = {"Authorization": f"Basic {base64.b64encode(account.encode()).decode()}"}
        sender = settings.twilio_from
        # A messaging service's id (MG...) picks among its own numbers.
        self._sender = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender}
        self._callback = settings.public_url + STATUS_PATH

    async def send(self, message: Message) -> Outcome:
        """Send an SMS; the reference is Twilio's name of it, which its reports use. Raises TryAgain."""
        form = {"To": message.content.to, "Body": message.content.text, "StatusCallback": self._callback}
        answer = await post_outside(self._url, data=form | self._sender, headers=self._headers)
        said = _object(answer.body)
        if answer.status in (200, 201) and isinstance(said.get("sid"), str):
            return Outcome(state=State.SENT, provider_ref=said["sid"])
        code = said.get("code")
        if answer.status >= 500 or answer.status == TOO_MANY or answer.status in OUR_FAULT or answer.status < 400:
            raise TryAgain(f"Twilio did not take it: {answer.status}.")
        nobody = code in NOBODY_THERE
        return Outcome(state=State.BOUNCED if nobody else State.FAILED, error=f"twilio-{code or answer.status}")


def twilio_signature(url: str, fields: Mapping[str, str], token: str) -> str:
    """The signature of a form: base64 of HMAC-SHA1 over the address and each sorted name with its value."""
    said = url + "".join(name + fields[name] for name in sorted(fields))
    return base64.b64encode(hmac.new(token.encode(), said.encode(), hashlib.sha1).digest()).decode()


def status_verifier(settings: Settings) -> Verify:
    """A check of reports as they arrive, before anything in them is believed. It raises WrongSignature."""
    token = settings.twilio_token
    url = settings.public_url + STATUS_PATH

    def verify(body: bytes, headers: Mapping[str, str]) -> None:
        if token is None:
            raise WrongSignature
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100, errors="strict"))
        except ValueError:
            raise WrongSignature from None
        wanted = twilio_signature(url, fields, token.get_secret_value())
        if not hmac.compare_digest(wanted.encode(), headers.get(SIGNATURE, "").encode()):
            raise WrongSignature

    return verify


def _object(body: bytes) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}
