"""The embedded Valkey: nothing on disk, nothing on the network, memory bounded."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from server.up.child import Child, Program, clean_environment
from server.up.folder import Folder, Refused, leave_sockets, open_folder, socket_folder
from server.up.programs import valkey_program

START_SECONDS = 15.0
SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory": "128mb",
    "maxmemory-policy": "noeviction",
    "loglevel": "warning",
    "daemonize": "no",
}


class Valkey:
    """The Valkey of one data folder. Stopped and started again it is empty, and its URL the same."""

    def __init__(self, folder: Folder, sockets: Path) -> None:
        self.folder = folder
        self._sockets = sockets
        self._socket = sockets / "valkey.sock"
        self._path = valkey_program(folder)
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Its address for redis-py."""
        return f"unix://{quote(str(self._socket))}?db=0"

    @property
    def child(self) -> Child:
        """The running server."""
        if self._child is None:
            raise RuntimeError("Valkey was not started")
        return self._child

    async def start(self) -> None:
        """Start it and wait until it answers. Raises Refused."""
        settings = SETTINGS | {"unixsocket": str(self._socket), "dir": str(self._sockets)}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        self._child = Child(
            Program(
                name="Valkey",
                argv=(str(self._path), *options),
                environ=clean_environment(),
                cwd=self._sockets,
                log=self.folder.logs / "valkey.log",
                account=self.folder.account,
                stop_signal=signal.SIGTERM,
                stop_seconds=5.0,
            )
        )
        try:
            await self._until_it_answers(self._child)
        except BaseException:
            await self._child.stop()
            raise

    async def stop(self) -> None:
        """End it, and what it held."""
        if self._child is not None:
            await self._child.stop()

    async def kill(self) -> None:
        """kill -9, as a test of what goes on without it."""
        await self.child.kill()

    async def restart(self) -> None:
        """Stop it if it runs, and start an empty one at the same address."""
        await self.stop()
        await self.start()

    async def _until_it_answers(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if child.returncode is not None:
                raise Refused(f"Valkey did not start: {child.last_words()}")
            if time.monotonic() > deadline:
                raise Refused(f"Valkey does not answer after {START_SECONDS:.0f} s.")
            await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            async with asyncio.timeout(2):
                return (await reader.readline()).startswith(b"+PONG")
        except (OSError, TimeoutError):
            return False
        finally:
            writer.close()


@asynccontextmanager
async def embedded_valkey(path: Path) -> AsyncGenerator[Valkey]:
    """A Valkey with its socket under `path` for as long as the block lasts."""
    folder = await asyncio.to_thread(open_folder, path)
    sockets = socket_folder(folder)
    valkey = Valkey(folder, sockets)
    await valkey.start()
    try:
        yield valkey
    finally:
        await valkey.stop()
        leave_sockets(folder, sockets)
