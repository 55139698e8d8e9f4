"""How a result leaves: JSON, a page, a redirect with its cookies, a file; and how a refusal does."""

from __future__ import annotations

from typing import cast
from urllib.parse import quote

from aiohttp import web
from pydantic_core import to_json

from server.core.edge.calls import Call, Pages
from server.core.edge.identity import cookie_name
from server.core.errors import Problem
from server.core.models import Model
from server.core.routes import Document, Encoded, Route, SeeOther
from server.core.settings import Settings

SESSION_SECONDS = 12 * 3600
LANGUAGE_SECONDS = 365 * 86400
JSON = "application/json"


def status_of(route: Route, result: object) -> int:
    """The line's status, unless the result knows better (asking again for one's own hold is 200, not 201)."""
    own = result.http_status if isinstance(result, Model) else None
    return route.status if own is None else own


def json_bytes(result: Model) -> bytes:
    """A result as JSON. A session's token leaves as a cookie only."""
    return result.model_dump_json(exclude={"session_token"}).encode()


class Replies:
    """Writes responses."""

    def __init__(self, settings: Settings, pages: Pages) -> None:
        self._settings = settings
        self._pages = pages

    async def write(self, route: Route, result: object, call: Call, body: bytes | None) -> web.Response:
        """The response of a route's result; `body` is its JSON where it was needed before."""
        kind = route.reply.kind
        if isinstance(result, SeeOther):
            return self._redirect(result)
        if isinstance(result, Document):
            return self._document(result)
        if kind == "page":
            # A form's answer may be another page than the form's own: its view then names the template.
            html = await self._pages.render(call, getattr(result, "template", route.reply.template), result)
            shown = web.Response(text=html, content_type="text/html", status=status_of(route, result))
            begun = getattr(result, "begin_session", None)
            if isinstance(begun, str):
                self.set_session(shown, begun)
            if call.notice:
                shown.del_cookie("notice", path="/")
            return shown
        if isinstance(result, Encoded):
            result = cast("Encoded[Model]", result)
            body = result.body
        if body is None:
            assert isinstance(result, Model)
            body = json_bytes(result)
        response = web.Response(
            body=body,
            content_type=JSON,
            charset="utf-8",
            status=status_of(route, result),
        )
        if kind == "session_cookie" and not getattr(result, "keeps_session", False):
            self.set_session(response, getattr(result, "session_token", None))
        if call.csrf_token:
            response.headers["X-CSRF-Token"] = call.csrf_token
        return response

    async def refuse(self, problem: Problem, call: Call) -> web.Response:
        """A problem as problem+json, or as a page for somebody who was looking at pages."""
        if call.is_page:
            html = await self._pages.problem(call, problem)
            response = web.Response(text=html, content_type="text/html", status=problem.status)
        else:
            response = web.Response(
                body=to_json(problem.as_json(call.request_id)),
                content_type="application/problem+json",
                charset="utf-8",
                status=problem.status,
            )
        if problem.retry_after_seconds is not None:
            response.headers["Retry-After"] = str(problem.retry_after_seconds)
        return response

    def to_login(self, call: Call) -> web.Response:
        """Somebody who looks at pages is asked to sign in, and comes back to where they were going."""
        if call.actor.second_step:
            return web.Response(status=303, headers={"Location": "/security"})
        return web.Response(status=303, headers={"Location": f"/login?next={quote(call.path, safe='')}"})

    def set_session(self, response: web.StreamResponse, token: str | None) -> None:
        """Set the session's cookie, or take it away."""
        name = cookie_name(self._settings)
        secure = self._settings.secure_cookies
        if token:
            response.set_cookie(
                name, token, max_age=SESSION_SECONDS, path="/", secure=secure, httponly=True, samesite="Lax"
            )
        else:
            response.del_cookie(name, path="/", secure=secure, httponly=True, samesite="Lax")
            response.headers["Clear-Site-Data"] = '"cache", "storage"'

    def _redirect(self, result: SeeOther) -> web.Response:
        location = result.location
        if not location.startswith("/") or location.startswith(("//", "/\\")):
            location = "/"
        response = web.Response(status=303, headers={"Location": location})
        if result.begin_session is not None:
            self.set_session(response, result.begin_session)
        if result.end_session:
            self.set_session(response, None)
        if result.language is not None:
            self.set_language(response, result.language)
        if result.notice is not None:
            response.set_cookie("notice", result.notice, max_age=60, path="/", httponly=True, samesite="Lax")
        return response

    def set_language(self, response: web.StreamResponse, language: str) -> None:
        """Remember the language of this browser."""
        response.set_cookie(
            "lang",
            language,
            max_age=LANGUAGE_SECONDS,
            path="/",
            secure=self._settings.secure_cookies,
            httponly=True,
            samesite="Lax",
        )

    def _document(self, document: Document) -> web.Response:
        headers = {"Cache-Control": "no-store"}
        if document.is_foreign:
            headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
            headers["X-Content-Type-Options"] = "nosniff"
        if document.filename:
            how = "attachment" if document.is_foreign else "inline"
            plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in document.filename)
            headers["Content-Disposition"] = f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(document.filename)}"
        return web.Response(body=document.content, content_type=document.media_type, headers=headers)
