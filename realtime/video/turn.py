"""TURN credentials as coturn's `use-auth-secret` checks them: they expire and name nobody."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from realtime.video.wire import IceServer

CREDENTIAL_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Turn:
    """The relay that browsers may use. Without addresses there is none, and never a public STUN host instead."""

    urls: tuple[str, ...] = ()
    secret: str = ""

    @property
    def configured(self) -> bool:
        return bool(self.urls and self.secret)

    def servers(self, now: datetime) -> list[IceServer]:
        """Fresh credentials, good for ten minutes from `now`; the HMAC is SHA-1 because coturn's is."""
        if not self.configured:
            return []
        expires = int((now + CREDENTIAL_LIFE).timestamp())
        username = f"{expires}:{secrets.token_urlsafe(9)}"
        digest = hmac.new(self.secret.encode(), username.encode(), hashlib.sha1).digest()
        return [IceServer(urls=list(self.urls), username=username, credential=base64.b64encode(digest).decode())]
