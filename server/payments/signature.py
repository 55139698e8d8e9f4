"""How webhooks are signed: HMAC-SHA256 over the bytes as received, checked before anything of them is parsed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import datetime

from server.core.clock import Clock
from server.core.errors import Unauthenticated

TOLERANCE_SECONDS = 300

Verify = Callable[[bytes, Mapping[str, str]], Mapping[str, str]]
"""Checks a body with its headers; gives what the headers add to the ask. Raises WrongSignature."""


class WrongSignature(Unauthenticated):
    """The signature is not the gateway's over the bytes received, or its time is more than five minutes off."""

    code = "wrong-signature"
    title = "This was not signed by the gateway."


def sign(body: bytes, secret: str, at: datetime) -> str:
    """The signature header of a body: `t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">`."""
    t = int(at.timestamp())
    return f"t={t},v1={_mac(body, secret, str(t))}"


def timed_verifier(header: str, secret: str, clock: Clock) -> Verify:
    """The scheme of `sign`: one `t`, any number of `v1` (while a secret is changed there are two)."""

    def verify(body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        t = ""
        macs: list[str] = []
        for part in headers.get(header, "")[:1000].split(","):
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
        return {}

    return verify


def plain_verifier(header: str, secret: str, event_header: str) -> Verify:
    """The bare hex HMAC of the body. It has no time: what is sent again changes nothing, for the ledger takes each
    attempt once. The event's name comes in a header of its own, or is the body's digest."""

    def verify(body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        wanted = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted.encode(), headers.get(header, "")[:200].encode()):
            raise WrongSignature
        return {"event_id": headers.get(event_header) or hashlib.sha256(body).hexdigest()}

    return verify


def _mac(body: bytes, secret: str, t: str) -> str:
    return hmac.new(secret.encode(), t.encode() + b"." + body, hashlib.sha256).hexdigest()
