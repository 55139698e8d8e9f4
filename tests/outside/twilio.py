"""Twilio's Messages API on a port of its own: a form in, a name out, and signed reports of what became of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode

from aiohttp import web
from pydantic import SecretStr

from server.core.settings import Settings
from tests.house import Answer, House

ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "a-token-of-twilio"
SENDER = "+15005550006"


@dataclass
class Twilio:
    """Takes SMS; answers with what it is told to first: a status and an error code of its own."""

    trouble: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    asked: int = 0
    taken: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    url: str = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post(f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *why: object) -> None:
        await self._runner.cleanup()

    def settings(self, settings: Settings) -> Settings:
        """Settings that send SMS here."""
        return settings.model_copy(
            update={
                "twilio_account": ACCOUNT,
                "twilio_token": SecretStr(TOKEN),
                "twilio_from": SENDER,
                "twilio_url": self.url,
            }
        )

    async def report(self, house: House, number: int, status: str, *, token: str = TOKEN, **more: str) -> Answer:
        """Report what became of the SMS of this number, signed as Twilio signs."""
        fields = {
            "MessageSid": self.name(number),
            "MessageStatus": status,
            "SmsStatus": status,
            "AccountSid": ACCOUNT,
            "From": SENDER,
            "ApiVersion": "2010-04-01",
        } | more
        said = self.taken[0]["StatusCallback"] + "".join(f"{name}{fields[name]}" for name in sorted(fields))
        signature = base64.b64encode(hmac.new(token.encode(), said.encode(), hashlib.sha1).digest()).decode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": signature}
        path = "/notifications/status/twilio"
        return await house.stranger().call("POST", path, raw=urlencode(fields).encode(), headers=headers)

    def name(self, number: int) -> str:
        """Twilio's name of the SMS of this number."""
        return f"SM{number:032x}"

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        account = base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {account}":
            return web.json_response({"code": 20003, "message": "Authenticate", "status": 401}, status=401)
        if self.trouble:
            status, code = self.trouble.pop(0)
            return web.json_response({"code": code, "message": "No", "status": status}, status=status)
        form = {name: str(value) for name, value in (await request.post()).items()}
        if not {"To", "Body"} <= form.keys() or not {"From", "MessagingServiceSid"} & form.keys():
            return web.json_response({"code": 21604, "message": "A field is missing", "status": 400}, status=400)
        self.taken.append(form)
        return web.json_response({"sid": self.name(len(self.taken)), "status": "queued"}, status=201)
