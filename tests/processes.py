"""Real processes for tests: `amrutam serve`, `amrutam worker` and the other commands, in a test's own settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from pydantic import SecretStr

from server.core.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60.0


def environment_of(settings: Settings) -> dict[str, str]:
    """What was set, as a process reads it; nothing else of this process' environment."""
    told = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        elif isinstance(value, tuple):
            value = ",".join(str(part) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        told[PREFIX + name.upper()] = str(value)
    return told


async def amrutam(settings: Settings, *command: str) -> tuple[int, str, str]:
    """Run one command to its end; its exit code, and what it said on stdout and stderr."""
    process = await _start(settings, *command, pipes=True)
    async with asyncio.timeout(START_SECONDS):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@dataclass
class Program:
    """A server or a worker that runs; `start` again after it ended."""

    settings: Settings
    command: tuple[str, ...]
    log: Path
    fd: int | None = None
    most_files: int | None = None
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        with self.log.open("ab") as said:
            self.process = await _start(
                self.settings, *self.command, said=said.fileno(), fd=self.fd, most_files=self.most_files
            )

    async def kill(self) -> None:
        """kill -9."""
        await self.end(signal.SIGKILL)

    async def end(self, which: signal.Signals = signal.SIGTERM, *, seconds: float = 20) -> int:
        """Send a signal and wait for the end; its exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(which)
        return await self.ended(seconds=seconds)

    async def ended(self, *, seconds: float = 20) -> int:
        """Wait for the end; its exit code."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text()


@contextlib.asynccontextmanager
async def program(
    settings: Settings, *command: str, log: Path, fd: int | None = None, most_files: int | None = None
) -> AsyncGenerator[Program]:
    """A process that is gone when the block ends; `most_files` is its soft limit of open files."""
    running = Program(settings, command, log, fd, most_files)
    await running.start()
    try:
        yield running
    finally:
        await running.kill()


@contextlib.asynccontextmanager
async def served(
    settings: Settings, *, log: Path, most_files: int | None = None
) -> AsyncGenerator[tuple[Program, str]]:
    """A server on a socket that outlives it, as `up` holds one: knocks during a restart wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        base = f"http://127.0.0.1:{listening.getsockname()[1]}"
        fd = listening.fileno()
        async with program(settings, "serve", "--listen-fd", str(fd), log=log, fd=fd, most_files=most_files) as server:
            await ready(base, server)
            yield server, base


async def ready(base: str, server: Program) -> None:
    """Wait until a server says that it is ready."""
    async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as http:
        while True:
            assert server.process is not None
            assert server.process.returncode is None, server.said
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):  # it is still reading its own code
                async with http.get(f"{base}/readyz", timeout=aiohttp.ClientTimeout(5)) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _start(
    settings: Settings,
    *command: str,
    said: int | None = None,
    fd: int | None = None,
    pipes: bool = False,
    most_files: int | None = None,
) -> asyncio.subprocess.Process:
    limited = [] if most_files is None else ["prlimit", f"--nofile={most_files}:"]
    out = asyncio.subprocess.PIPE if pipes else said
    return await asyncio.create_subprocess_exec(
        *limited, sys.executable, "-P", "-m", "server.cli", *command,
        env=environment_of(settings), cwd="/", stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out,
        pass_fds=() if fd is None else (fd,),
    )  # fmt: skip


__all__ = ["Program", "amrutam", "environment_of", "program", "ready", "served"]
