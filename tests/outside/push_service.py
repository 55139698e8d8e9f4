"""A push service on a port of its own, with the browsers behind it: it checks the voucher and they open the message.

Written from RFC 8291 and 8292 and not from our own sender: what opens here opens in browsers.
"""

from __future__ import annotations

import base64
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.core.settings import Settings


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def keyed(key: bytes, said: bytes) -> bytes:
    mac = hmac.HMAC(key, hashes.SHA256())
    mac.update(said)
    return mac.finalize()


class Browser:
    """A browser's subscription: its keys, and how it opens what comes."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.secret = os.urandom(16)
        self.point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def keys(self) -> dict[str, str]:
        return {"p256dh": encoded(self.point), "auth": encoded(self.secret)}

    def open(self, body: bytes) -> Any:
        """RFC 8188 section 2.1 and RFC 8291 section 3.4, step by step."""
        salt, record, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        theirs, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= record
        shared = self.private.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs))
        prk = keyed(self.secret, shared)
        ikm = keyed(prk, b"WebPush: info\x00" + self.point + theirs + b"\x01")
        prk = keyed(salt, ikm)
        key = keyed(prk, b"Content-Encoding: aes128gcm\x00\x01")[:16]
        nonce = keyed(prk, b"Content-Encoding: nonce\x00\x01")[:12]
        plain = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\x00")
        assert plain.endswith(b"\x02")
        return json.loads(plain[:-1])


@dataclass
class Pushed:
    """What arrived at a browser."""

    message: dict[str, Any]
    headers: dict[str, str]


@dataclass
class PushService:
    """Takes pushes; answers with what it is told to first."""

    answers: list[int] = field(default_factory=list[int])
    asked: int = 0
    pushed: list[Pushed] = field(default_factory=list[Pushed])
    browsers: dict[str, Browser] = field(default_factory=dict[str, Browser])
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/push/{name}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *why: object) -> None:
        await self._runner.cleanup()

    def settings(self, settings: Settings) -> Settings:
        """Settings that allow pushes here."""
        return settings.model_copy(update={"push_insecure": True})

    def subscribe(self, name: str = "one") -> dict[str, Any]:
        """A new browser, as its page tells the server of it."""
        self.browsers[name] = Browser()
        return {"endpoint": f"{self.url}/push/{name}", "keys": self.browsers[name].keys()}

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        self._check_voucher(request.headers["Authorization"])
        if request.headers.get("Content-Encoding") != "aes128gcm" or not request.headers.get("TTL", "").isdigit():
            return web.Response(status=400)
        if self.answers:
            return web.Response(status=self.answers.pop(0))
        message = self.browsers[request.match_info["name"]].open(await request.read())
        self.pushed.append(Pushed(message, dict(request.headers)))
        return web.Response(status=201)

    def _check_voucher(self, header: str) -> None:
        """RFC 8292 section 2 and 3: ES256 over header and claims, for this origin, within a day, with a contact."""
        scheme, _, rest = header.partition(" ")
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        said, _, signature = fields["t"].rpartition(".")
        raw = decoded(signature)
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), decoded(fields["k"]))
        key.verify(der, said.encode(), ec.ECDSA(hashes.SHA256()))
        head, claims = (json.loads(decoded(part)) for part in said.split("."))
        assert (scheme, head) == ("vapid", {"typ": "JWT", "alg": "ES256"})
        assert claims["aud"] == self.url
        assert time.time() < claims["exp"] <= time.time() + 86400
        assert claims["sub"].startswith(("mailto:", "https:"))
