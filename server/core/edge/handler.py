"""From a line of the route table to an aiohttp handler: who asks, may they, what do they ask, do it, answer."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from redis.asyncio import Redis

from server.core.clock import Clock
from server.core.database import Database
from server.core.edge.bodies import read_ask
from server.core.edge.calls import Call, Pages, Sessions, open_call
from server.core.edge.headers import CALL, SecurityHeaders, rate_headers
from server.core.edge.identity import Identity
from server.core.edge.replies import Replies, json_bytes, status_of
from server.core.edge.uploads import UploadTurns, read_upload
from server.core.errors import (
    Internal,
    Malformed,
    MethodNotAllowed,
    NotFound,
    Problem,
    TooLarge,
    Unauthenticated,
)
from server.core.idempotency import MOST_CHARACTERS, KeyMissing, Replay, body_hash, take_key
from server.core.limits import Limits
from server.core.locks import HerdLocks
from server.core.models import Ask
from server.core.outbox import StoredReply
from server.core.routes import Idempotent, Route, SeeOther, admit
from server.core.scripts import Scripts
from server.core.settings import Settings
from server.core.tx import IdempotencyKey, Tx

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Edge:
    """The edge of one server process."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        redis: Redis,
        scripts: Scripts,
        database: Database,
        sessions: Sessions,
        pages: Pages,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._database = database
        self._proxies = tuple(ipaddress.ip_network(text, strict=False) for text in settings.trusted_proxies)
        self._headers = SecurityHeaders(settings)
        self._replies = Replies(settings, pages)
        self._uploads = UploadTurns()
        self._locks = HerdLocks(scripts.pipe, database.publisher)
        self.identity = Identity(settings, clock, redis, Limits(scripts, settings.limit_factor), database, sessions)

    def mount(self, app: web.Application, routes: list[Route], prefix: str) -> None:
        """Register lines of the table. Every line has an access, or it does not exist (SECURITY Z1)."""
        # The dispatcher tries one after the other: plain paths first, the others in the order of the table.
        for route in sorted(routes, key=lambda route: "{" in route.path):
            app.router.add_route(route.method, prefix + route.path, self._handler(route), name=None)

    def middlewares(self) -> list[Any]:
        """What stands around every handler."""
        return [self._frame]

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the headers on whatever leaves, also what aiohttp answers by itself."""
        call = request.get(CALL)
        nonce = call.nonce if call is not None else ""
        is_api = call is None or not call.is_page
        response.headers.pop("Server", None)  # names and versions of parts are nobody's business
        for name, value in self._headers.of(nonce, is_api=is_api).items():
            response.headers.setdefault(name, value)
        if call is not None:
            response.headers.setdefault("X-Request-Id", call.request_id)
            for name, value in rate_headers(call).items():
                response.headers.setdefault(name, value)
            if call.is_page and not request.path.startswith("/static/"):
                response.headers.setdefault("Cache-Control", "no-store")

    @property
    def _frame(self) -> Any:
        @web.middleware
        async def frame(request: web.Request, handler: Handler) -> web.StreamResponse:
            call = open_call(request, self._proxies)
            request[CALL] = call
            try:
                response = await handler(request)
                wanted = request.query.get("lang")
                if wanted is not None and wanted == call.language and call.is_page and not response.prepared:
                    self._replies.set_language(response, wanted)
                return response
            except Unauthenticated as problem:
                if call.is_page and type(problem) is Unauthenticated:
                    return self._replies.to_login(call)
                return await self._replies.refuse(problem, call)
            except Problem as problem:
                refused = await self._replies.refuse(problem, call)
                if request.content.exception() is not None:
                    # The body broke: what follows on this connection cannot be told from it, and nobody reads on.
                    refused.force_close()
                    request.content.feed_eof()
                return refused
            except web.HTTPException as answer:
                if answer.status < 400:
                    raise
                return await self._replies.refuse(_of_aiohttp(answer), call)
            except Exception:
                log.exception("a request failed", extra={"request_id": call.request_id, "path": request.path})
                return await self._replies.refuse(Internal(), call)

        return frame

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            call = request[CALL]
            call.is_page = not route.is_api or (route.reply.kind in ("pdf", "svg") and call.is_page)
            await self.identity.establish(request, call, route.budget)
            if call.actor.user_id is not None and "lang" not in request.query and "lang" not in request.cookies:
                call.language = call.actor.language
            admit(route.access, call.actor, self._clock())
            if route.body.kind != "upload":
                return await self._answer(route, request, call)
            async with self._uploads:
                return await self._answer(route, request, call)

        return handle

    async def _answer(self, route: Route, request: web.Request, call: Call) -> web.StreamResponse:
        ask, fields = await self._asked(route, request, call)
        key = _key_of(route, request, call, fields)
        call.run = self._database.run(actor=call.actor, request_id=call.request_id)
        stored: list[StoredReply] = []
        try:
            if route.lock:
                async with self._locks.hold(route.lock.format(**fields)):
                    result = await self._perform(route, ask, call, key, stored)
            else:
                result = await self._perform(route, ask, call, key, stored)
        except Replay as replay:
            return web.Response(
                body=replay.body,
                status=replay.status,
                content_type="application/json",
                charset="utf-8",
                headers={"Idempotency-Replayed": "true"},
            )
        if route.reply.kind == "session_cookie" or (isinstance(result, SeeOther) and result.refresh_session):
            await self.identity.forget(call)
        return await self._replies.write(route, result, call, stored[0].body if stored else None)

    async def _asked(self, route: Route, request: web.Request, call: Call) -> tuple[Ask, dict[str, Any]]:
        """The ask, once it is certain that no other site makes this browser ask: a form carries its token inside."""
        if route.body.kind == "form":
            ask, fields, form_token = await read_ask(route, request, seconds=self._settings.body_seconds)
            self.identity.refuse_foreign(request, call, form_token)
        elif route.body.kind == "upload":
            if route.is_api:
                self.identity.refuse_foreign(request, call, None)
            ask, fields, form_token = await read_upload(route, request, seconds=self._settings.upload_seconds)
            self.identity.refuse_foreign(request, call, form_token)
        elif route.body.kind == "signed":
            ask, fields, _ = await read_ask(route, request, seconds=self._settings.body_seconds)
        else:
            self.identity.refuse_foreign(request, call, None)
            ask, fields, _ = await read_ask(route, request, seconds=self._settings.body_seconds)
        return ask, fields

    async def _perform(
        self, route: Route, ask: Ask, call: Call, key: IdempotencyKey | None, stored: list[StoredReply]
    ) -> Any:
        check = route.access.check
        if route.is_errand:
            assert call.run is not None
            if check is not None:
                await self._database.read(lambda tx: check(tx, ask), actor=call.actor, request_id=call.request_id)
            return await route.handler(call.run, ask)

        async def act(tx: Tx) -> Any:
            if check is not None:
                await check(tx, ask)
            if tx.key is not None and route.idempotent is Idempotent.REQUIRED:
                await take_key(tx, self._database.cipher)
            return await route.handler(tx, ask)

        if route.method == "GET":
            return await self._database.read(act, actor=call.actor, request_id=call.request_id)

        def encode(result: Any) -> StoredReply:
            reply = StoredReply(status_of(route, result), json_bytes(result))
            stored[:] = [reply]
            return reply

        return await self._database.write(
            act,
            actor=call.actor,
            request_id=call.request_id,
            key=key,
            encode=encode if key else None,
            at_once=route.idempotent is Idempotent.AT_ONCE,
        )


def _key_of(route: Route, request: web.Request, call: Call, fields: dict[str, Any]) -> IdempotencyKey | None:
    if route.idempotent is Idempotent.NO:
        return None
    given = request.headers.get("Idempotency-Key", "")
    if not given and route.body.kind == "form":
        given = str(fields.get("idempotency_key", ""))
    if not 1 <= len(given) <= MOST_CHARACTERS or not given.isprintable():
        raise KeyMissing
    return IdempotencyKey(call.actor.key, f"{route.method} {route.path}", given, body_hash(fields))


def _of_aiohttp(answer: web.HTTPException) -> Problem:
    if answer.status == 404:
        return NotFound()
    if answer.status == 405:
        return MethodNotAllowed()
    if answer.status == 413:
        return TooLarge()
    return Malformed(f"{answer.status} {answer.reason}")
