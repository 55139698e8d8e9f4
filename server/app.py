"""Where the parts meet: one server process, from its settings to its last goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import ssl
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

import realtime
import web as pages
from server import (
    accounts,
    audit,
    booking,
    consultations,
    doctors,
    notifications,
    payments,
    prescriptions,
    scheduling,
)
from server.accounts import DatabaseSessions, Passwords, Throttle
from server.core import openapi, partitions
from server.core.cache import Cache
from server.core.cipher import Cipher
from server.core.clock import Clock, shifted_clock
from server.core.database import Database
from server.core.edge import Edge
from server.core.jsongate import MOST_BYTES
from server.core.logs import set_up_logs
from server.core.probes import Probes, measured
from server.core.publish import Publisher
from server.core.routes import Route
from server.core.scripts import Scripts
from server.core.settings import Settings
from server.core.valkey import connect_redis

log = logging.getLogger(__name__)
API = "/api/v1"
VERSION = "0.1.0"
DRAIN_SECONDS = 12
REQUESTS_SECONDS = 4  # for what is still being sent to us when the sockets have gone
END_SECONDS = 1
GARBAGE_AFTER = 20_000  # new objects


class CannotListen(Exception):
    """The address cannot be listened on: in use, or not this machine's."""


@dataclass(slots=True)
class Server:
    """One server process' parts, for whoever runs it (and for the tests)."""

    app: web.Application
    database: Database
    realtime: realtime.Realtime
    probes: Probes


def api_routes(
    settings: Settings, cipher: Cipher, clock: Clock, passwords: Passwords, throttle: Throttle, cache: Cache
) -> list[Route]:
    """Every line of the REST table, feature by feature."""
    return [
        *accounts.routes(settings, cipher, passwords, throttle),
        *doctors.routes(cipher, cache),
        *scheduling.routes(settings, cache),
        *consultations.routes(cipher, settings),
        *payments.routes(settings, clock),
        *booking.routes(cipher, settings),
        *prescriptions.routes(cipher, settings),
        *audit.routes(),
        *notifications.routes(settings, cipher),
    ]


@contextlib.asynccontextmanager
async def open_server(settings: Settings, *, only: str | None = None) -> AsyncGenerator[Server]:
    """Build a server process' parts and take them down again. `only` is rest or sockets."""
    clock = shifted_clock(settings.clock_shift_seconds)
    cipher = Cipher(settings)
    async with (
        contextlib.aclosing(connect_redis(settings)) as redis,
        Publisher(redis, cipher) as publisher,
        contextlib.aclosing(Scripts(redis)) as scripts,
    ):
        database = await Database.connect(settings, clock, cipher, publisher)
        passwords, throttle = Passwords(), Throttle(redis)
        try:
            site = pages.Site(settings, cipher, clock)
            edge = Edge(settings, clock, redis, scripts, database, DatabaseSessions(settings), site)
            app = web.Application(
                middlewares=[measured, *edge.middlewares()],
                client_max_size=MOST_BYTES + 1,
            )
            app.on_response_prepare.append(edge.on_prepare)
            probes = Probes(database, redis)
            probes.watch(payments.DIFFERENCES, payments.open_differences)
            probes.watch(partitions.STRAY, partitions.stray_rows)
            probes.watch(partitions.AHEAD, partitions.months_ahead)
            probes.mount(app)
            rooms = realtime.Realtime(
                settings,
                database=database,
                redis=redis,
                publisher=publisher,
                cipher=cipher,
                find_actor=edge.identity.find,
            )
            if only != "sockets":
                cache = Cache(scripts, publisher, is_on=settings.lists_cached)
                routes = api_routes(settings, cipher, clock, passwords, throttle, cache)
                edge.mount(app, routes, API)
                edge.mount(app, payments.sandbox_routes(settings, clock), "")
                look = rooms.operations.look
                edge.mount(app, pages.routes(settings, cipher, clock, passwords, throttle, look, cache), "")
                pages.mount_static(app)
                _mount_documents(app, routes, rooms.document())
            if only != "rest":
                rooms.mount(app)
            await rooms.start()
            try:
                yield Server(app, database, rooms, probes)
            finally:
                await rooms.stop()
        finally:
            passwords.close()
            await database.close()


async def serve(settings: Settings, *, only: str | None = None, sock: socket.socket | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain: stop accepting, say bye to sockets, let requests finish.

    A second signal ends the process at once. Raises CannotListen.
    """
    set_up_logs(settings)
    _open_as_many_as_allowed()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_server(settings, only=only) as server:
        underway = Underway()
        server.app.middlewares.insert(0, underway.count)
        runner = web.AppRunner(
            server.app,
            access_log=None,
            keepalive_timeout=15,
            handler_cancellation=False,
            shutdown_timeout=END_SECONDS,
        )
        await runner.setup()
        site = _site(runner, settings, sock)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise CannotListen(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}") from error
        # The program itself is no garbage: each full collection would stand still for a look through all of it,
        # 30 ms and more (measured 2026-11).
        gc.collect()
        gc.freeze()
        # A request leaves hundreds of objects and no circles: a look at the young ones every 700 finds nothing.
        gc.set_threshold(GARBAGE_AFTER)
        log.info("serving", extra={"port": settings.port})
        await stop.wait()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # the next one has its own way: it does not wait
        server.probes.draining = True
        await site.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await server.realtime.drain()
        # aiohttp reads nothing any more once it cleans up: an upload that is under way comes to its end before.
        await underway.ended(REQUESTS_SECONDS)
        await runner.cleanup()


class Underway:
    """Requests that have come and are not answered yet."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            self._count += 1
            self._none.clear()
            try:
                return await handler(request)
            finally:
                self._count -= 1
                if not self._count:
                    self._none.set()

        self.count = count

    async def ended(self, seconds: float) -> None:
        """Wait for their end, so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none.wait()


def _open_as_many_as_allowed() -> None:
    """Each socket is an open file, and the customary soft limit of 1,024 would be the most clients of a process."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:  # macOS says "unlimited" and means less
        log.warning("the limit of open files stays as it is: %s", error)


def _site(runner: web.AppRunner, settings: Settings, sock: socket.socket | None) -> web.BaseSite:
    tls: ssl.SSLContext | None = None
    if settings.tls_cert is not None and settings.tls_key is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.minimum_version = ssl.TLSVersion.TLSv1_2
        tls.load_cert_chain(settings.tls_cert, settings.tls_key)
    if sock is not None:
        return web.SockSite(runner, sock, ssl_context=tls)
    return web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)


def _mount_documents(app: web.Application, routes: list[Route], asyncapi: dict[str, Any]) -> None:
    described = openapi.document(routes, title="Amrutam", version=VERSION, server=API)

    async def show_openapi(request: web.Request) -> web.Response:
        del request
        return web.json_response(described)

    async def show_asyncapi(request: web.Request) -> web.Response:
        del request
        return web.json_response(asyncapi)

    app.router.add_get(f"{API}/openapi.json", show_openapi)
    app.router.add_get(f"{API}/asyncapi.json", show_asyncapi)
