"""What the local providers have in common: a port, a list of what was asked, and trouble on demand."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

from aiohttp import web

Trouble = Literal["500", "429", "hang", "endless", "rubbish", "redirect", "cut", "400"]


@dataclass(slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    fields: dict[str, Any]


@dataclass
class Provider:
    """A provider on a port of its own."""

    user: str
    password: str
    url: str = ""
    asked: list[Asked] = field(default_factory=list[Asked])
    trouble: list[Trouble] = field(default_factory=list[Trouble])
    """What goes wrong with the next requests, one each."""
    numbers: int = 0

    def routes(self) -> list[web.RouteDef]:
        """What it answers."""
        raise NotImplementedError

    async def fields_of(self, request: web.Request) -> dict[str, Any]:
        """The fields of a request's body."""
        raise NotImplementedError

    def name(self, prefix: str) -> str:
        """A fresh name."""
        self.numbers += 1
        return f"{prefix}_{self.numbers:014d}"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{cast('tuple[str, int]', self._runner.addresses[0])[1]}"
        return self

    async def __aexit__(self, *gone: object) -> None:
        await self._runner.cleanup()

    @property
    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
            self.asked.append(Asked(request.method, request.path, dict(request.headers), await self.fields_of(request)))
            if self.trouble:
                return await _go_wrong(self.trouble.pop(0), request)
            known = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            if request.headers.get("Authorization") != f"Basic {known}":
                return refusal("authentication", status=401)
            return cast("web.StreamResponse", await handler(request))

        return guard


def refusal(code: str, *, status: int = 400) -> web.Response:
    """A provider's no."""
    return web.json_response({"error": {"code": code, "description": "no, and here is what you sent"}}, status=status)


async def _go_wrong(trouble: Trouble, request: web.Request) -> web.StreamResponse:
    if trouble == "hang":
        await asyncio.sleep(30)
    if trouble == "rubbish":
        return web.Response(text="<html>down for maintenance")
    if trouble == "redirect":
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:9/"})
    if trouble == "cut":
        assert request.transport is not None
        request.transport.close()
    if trouble == "endless":
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" " * 65536)
        return response
    return refusal("SERVER_ERROR", status=int(trouble) if trouble.isdigit() else 500)
