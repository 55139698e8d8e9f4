"""One HTTP request as the edge knows it, and what the edge is given by the features: sessions and pages."""

from __future__ import annotations

import functools
import hashlib
import hmac
import ipaddress
import logging
import re
import secrets
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from server.core.errors import Problem
from server.core.limits import Spent
from server.core.settings import Settings
from server.core.tx import ANONYMOUS, Actor, Run, Tx

log = logging.getLogger(__name__)
LANGUAGES = ("en", "hi")
NO_PAGES = ("/api/", "/fhir", "/dev/inbox.json", "/healthz", "/readyz", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(slots=True)
class Call:
    """What the edge has found out about a request so far."""

    request_id: str
    address: str
    nonce: str
    path: str
    language: str
    is_page: bool
    actor: Actor = ANONYMOUS
    token: str = ""
    by_cookie: bool = False
    csrf_token: str = ""
    spent: Spent | None = None
    budget: str = ""
    notice: str = ""
    run: Run | None = field(default=None, repr=False)


class Sessions(Protocol):
    """What accounts gives the edge."""

    async def find(self, tx: Tx, token_hash: bytes) -> Actor | None:
        """Whose live session this is, noting that it was used; None for an unknown or ended one."""
        ...


class Pages(Protocol):
    """What web gives the edge."""

    async def render(self, call: Call, template: str, view: object) -> str:
        """The HTML of a page."""
        ...

    async def problem(self, call: Call, problem: Problem) -> str:
        """The HTML of a refusal."""
        ...


def csrf_token(settings: Settings, token: str) -> str:
    """The CSRF token of a session: a keyed hash of its token, so nothing needs to be stored."""
    key = settings.secret.get_secret_value().encode()
    return hmac.digest(key, b"csrf|" + token.encode(), hashlib.sha256).hex()[:43]


def open_call(request: web.Request, proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> Call:
    """Begin a call: its id, where it comes from, the language asked for."""
    given = request.headers.get("X-Request-Id", "")
    path = request.path
    is_page = not path.startswith(NO_PAGES)
    return Call(
        request_id=given if _REQUEST_ID.fullmatch(given) else secrets.token_urlsafe(12),
        address=client_address(request, proxies),
        nonce=secrets.token_urlsafe(16),
        path=request.path_qs,
        language=_language(request) if is_page else "en",
        notice=request.cookies.get("notice", "")[:40] if is_page else "",
        is_page=is_page,
    )


def client_address(request: web.Request, proxies: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> str:
    """The peer's address, or the last hop of X-Forwarded-For that is not a trusted proxy (SECURITY L4)."""
    peer = request.remote or ""
    if not proxies:
        if "X-Forwarded-For" in request.headers and _is_address(peer) and ipaddress.ip_address(peer).is_private:
            _say_that_a_proxy_is_not_trusted(peer)
        return peer
    if not _is_within(peer, proxies):
        return peer
    hops = [hop.strip() for hop in ",".join(request.headers.getall("X-Forwarded-For", [])).split(",") if hop.strip()]
    for hop in reversed(hops):
        if not _is_address(hop):
            return peer
        if not _is_within(hop, proxies):
            return hop
    return hops[0] if hops else peer


@functools.lru_cache(maxsize=100)
def _say_that_a_proxy_is_not_trusted(peer: str) -> None:
    """Once for each: behind a proxy that is not named all visitors share one address and its limits."""
    log.warning(
        "%s forwards for others, but AMRUTAM_TRUSTED_PROXIES is not set: all who come through it share one rate limit",
        peer,
    )


@functools.lru_cache(maxsize=10_000)
def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@functools.lru_cache(maxsize=10_000)
def _is_within(text: str, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]) -> bool:
    return _is_address(text) and any(ipaddress.ip_address(text) in network for network in networks)


def _language(request: web.Request) -> str:
    for wanted in (request.query.get("lang"), request.cookies.get("lang")):
        if wanted in LANGUAGES:
            return wanted
    for part in request.headers.get("Accept-Language", "").split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return "en"
