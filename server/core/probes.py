"""What watches the process from outside: alive, ready, metrics. None of them needs a session."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Awaitable, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from redis.asyncio import Redis

from server.core.database import AWAY, Database
from server.core.errors import Problem
from server.core.migrate import migrations, pending
from server.core.tx import Tx
from server.core.valkey import REDIS_AWAY

REQUESTS = Counter("amrutam_requests_total", "HTTP requests", ["method", "route", "status"])
SECONDS = Histogram("amrutam_request_seconds", "Seconds a request took", ["route"])
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SOCKETS = Gauge("amrutam_sockets", "Open sockets of this process")


class Probes:
    """/healthz, /readyz and /metrics of one process."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self.draining = False
        self._figures: list[tuple[Gauge, Callable[[Tx], Awaitable[float]]]] = []

    def mount(self, app: web.Application) -> None:
        """Register the three addresses."""
        app.router.add_get("/healthz", self.healthz)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.metrics)

    def watch(self, gauge: Gauge, read: Callable[[Tx], Awaitable[float]]) -> None:
        """Keep a figure that only the database knows: it is read whenever /metrics is."""
        self._figures.append((gauge, read))

    async def healthz(self, request: web.Request) -> web.Response:
        """The process runs."""
        del request
        return web.json_response({"alive": True})

    async def readyz(self, request: web.Request) -> web.Response:
        """Database and schema are there. Says when Redis is away, and is 200 all the same: it only makes it quick."""
        del request
        parts = {"database": "ready", "redis": "ready"}
        try:
            async with self._database.pool.acquire(timeout=2) as conn:
                missing = await pending(conn, migrations())
            if missing:
                parts["database"] = f"lacks {', '.join(missing)}"
        except AWAY:
            parts["database"] = "away"
        try:
            await self._redis.ping()  # pyright: ignore[reportUnknownMemberType]
        except REDIS_AWAY:
            parts["redis"] = "away"
        if self.draining:
            parts["process"] = "stopping"
        ready = parts["database"] == "ready" and not self.draining
        return web.json_response({"ready": ready, **parts}, status=200 if ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus' text format."""
        del request
        for gauge, read in self._figures:
            # With the database away the figure stays what it was last.
            with contextlib.suppress(Problem):
                gauge.set(await self._database.read(read, source="metrics"))
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and time by the route's own pattern, never by the address: that may hold what is private."""
    began = time.perf_counter()
    response = await handler(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "unknown"
    count, seconds = _of(request.method, route, response.status)
    count.inc()
    seconds.observe(time.perf_counter() - began)
    return response


@functools.cache  # the routes are a table
def _of(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(route)
