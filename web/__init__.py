"""The web: pages that work as forms and links, and the scripts that keep them true."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web as aiohttp_web

from server.accounts import Passwords, Throttle
from server.core.cache import Cache
from server.core.cipher import Cipher
from server.core.clock import Clock
from server.core.routes import Route
from server.core.settings import Settings
from web.pages import (
    around,
    booking,
    calendar,
    finding,
    hours,
    meeting,
    money,
    operations,
    own,
    papers,
    room,
    signing_in,
    staff,
    telling,
    waiting,
    waitlist,
)
from web.pages.site import Site

__all__ = ["Site", "mount_static", "routes"]
STATIC = Path(__file__).parent / "static"


def routes(
    settings: Settings,
    cipher: Cipher,
    clock: Clock,
    passwords: Passwords,
    throttle: Throttle,
    look: operations.Look,
    cache: Cache,
) -> list[Route]:
    """Every page. `look` reads the numbers of operations."""
    return [
        *finding.routes(settings, cache),
        *signing_in.routes(settings, cipher, passwords, throttle),
        *booking.routes(settings, cipher, clock),
        *meeting.routes(settings, cipher),
        *room.routes(settings, cipher),
        *papers.routes(settings, cipher),
        *own.routes(settings, cipher, passwords, throttle),
        *staff.routes(settings, cipher),
        *telling.routes(settings, cipher),
        *hours.routes(settings, cipher),
        *waiting.routes(settings, cipher),
        *waitlist.routes(settings, cipher),
        *calendar.routes(settings, cipher),
        *around.routes(settings, cipher),
        *money.routes(settings),
        *operations.routes(look),
    ]


def mount_static(app: aiohttp_web.Application) -> None:
    """Styles, fonts, scripts: revalidated at each use (a file's ETag says whether it changed)."""
    app.router.add_static("/static/", STATIC, append_version=False)
