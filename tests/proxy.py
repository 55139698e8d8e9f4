"""A TCP proxy in front of a service: passes everything on, cuts connections, or becomes a black hole.

In the hole nothing is refused and nothing answered: connections stand, new ones are accepted, and no byte passes. It
is what a lost route or a frozen machine looks like, and no program notices it without timeouts of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

from server.core.tasks import end_tasks

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Trap:
    """What becomes of the first connection whose client says `sign`: its answer never comes."""

    sign: bytes
    arrives: bool = True  # what says it is passed on; else it is lost too
    silent: bool = False  # the whole way falls silent; else that connection ends


@dataclass
class Proxy:
    """Passes connections on to wherever `reach` leads."""

    reach: Callable[[], Awaitable[Pair]]
    port: int = 0
    passes: asyncio.Event = field(default_factory=asyncio.Event)
    trap: Trap | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @property
    def redis_url(self) -> str:
        """The address, where what it leads to speaks Redis' language."""
        return f"redis://127.0.0.1:{self.port}/0"

    @contextlib.contextmanager
    def black_hole(self) -> Generator[None]:
        """While the block runs no byte passes, and nobody is told."""
        self.passes.clear()
        try:
            yield
        finally:
            self.passes.set()

    async def cut(self) -> None:
        """End every connection."""
        await end_tasks(list(self._tasks))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.passes.wait()
            there_reader, there_writer = await self.reach()
            back = asyncio.create_task(self._carry(there_reader, writer))
            both = [asyncio.create_task(self._carry(reader, there_writer, back)), back]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end_tasks(both)
                there_writer.close()
        except (OSError, asyncio.CancelledError):
            return  # what it leads to is away, or the test cuts: either end sees a closed connection
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, back: asyncio.Task[None] | None = None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self.passes.wait()
                trap = self.trap if back is not None and self.trap is not None and self.trap.sign in data else None
                if trap is None:
                    writer.write(data)
                    await writer.drain()
                    continue
                self.trap = None
                if trap.silent:
                    self.passes.clear()
                elif back is not None:
                    back.cancel()
                if trap.arrives:
                    writer.write(data)
                    await writer.drain()


def way_to_postgres(url: str) -> Callable[[], Awaitable[Pair]]:
    """How to reach what a PostgreSQL URL names by the folder of its socket."""
    parts = urlsplit(url)
    [folder] = parse_qs(parts.query)["host"]

    async def reach() -> Pair:
        return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{parts.port or 5432}")

    return reach


def way_to(url: str) -> Callable[[], Awaitable[Pair]]:
    """How to reach what a Redis URL names: a Unix socket or an address."""
    parts = urlsplit(url)

    async def reach() -> Pair:
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(parts.path))
        return await asyncio.open_connection(parts.hostname, parts.port)

    return reach


@contextlib.asynccontextmanager
async def proxy_to(url: str) -> AsyncGenerator[Proxy]:
    """A proxy on a free port, open, to a Redis, a PostgreSQL or a server."""
    proxy = Proxy(way_to_postgres(url) if url.startswith("postgres") else way_to(url))
    proxy.passes.set()
    listening = await asyncio.start_server(proxy.answer, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()
        proxy.passes.set()
        await proxy.cut()


__all__ = ["Pair", "Proxy", "Trap", "proxy_to", "way_to"]
