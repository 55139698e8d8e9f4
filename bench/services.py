"""The services of a benchmark, embedded, durable as in production, and thrown away afterwards; and its programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import asyncpg
import psutil

from server.core.migrate import migrate
from server.up import Postgres, Valkey, embedded_postgres, embedded_valkey
from server.up.postgres import OWNER

START_SECONDS = 60


@dataclass(frozen=True)
class Services:
    """A running PostgreSQL and Valkey, and a folder for logs."""

    folder: Path
    postgres: Postgres
    valkey: Valkey

    @property
    def sockets(self) -> str:
        """The folder of PostgreSQL's socket, as `-h` takes it."""
        return unquote(self.postgres.owner_url.partition("host=")[2])

    @property
    def valkey_socket(self) -> str:
        """The path of Valkey's socket."""
        return self.valkey.url.removeprefix("unix://").partition("?")[0]

    async def sql(self, database: str, script: str) -> str:
        """Run SQL as the owner; the last statement's first value as text. Raises asyncpg.PostgresError."""
        link = await asyncpg.connect(self.postgres.url(OWNER, database))
        try:
            *before, last = script.split(";\n")
            for statement in before:
                await link.execute(statement)
            return str(await link.fetchval(last))
        finally:
            await link.close()

    async def create(self, database: str) -> None:
        """A fresh, empty database."""
        await self.sql("postgres", f'create database "{database}"')

    async def create_schema(self, database: str) -> None:
        """A fresh database with the server's schema."""
        await self.create(database)
        await migrate(self.postgres.url(OWNER, database))

    def postgres_seconds(self) -> float:
        """Processor seconds that PostgreSQL has used so far, ended backends included."""
        return cpu_seconds(self.postgres.child.pid)


def cpu_seconds(pid: int) -> float:
    """Processor seconds of a process and all its children, ended ones included."""
    parent = psutil.Process(pid)
    spent = 0.0
    for process in (parent, *parent.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
    return spent


@contextlib.asynccontextmanager
async def services() -> AsyncGenerator[Services]:
    """Start both in a temporary folder; end them and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="amrutam-bench-", dir="/tmp"))
    try:
        async with embedded_postgres(folder, durable=True) as postgres, embedded_valkey(folder) as valkey:
            yield Services(folder, postgres, valkey)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def program(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> AsyncGenerator[subprocess.Popen[bytes]]:
    """Run a program, its output in a file; stop it afterwards, hard when it has not gone after 20 seconds."""
    whole = {**os.environ, **(env or {})}  # noqa: TID251 - what the children stand on
    with log.open("wb") as output:
        child = subprocess.Popen([str(part) for part in command], stdout=output, stderr=subprocess.STDOUT, env=whole)
    try:
        yield child
    except BaseException:
        sys.stderr.write(f"--- the end of {log.name}\n{log.read_text(errors='replace')[-3000:]}\n")
        raise
    finally:
        child.terminate()
        try:
            await asyncio.to_thread(child.wait, 20)
        except subprocess.TimeoutExpired:
            child.kill()
            await asyncio.to_thread(child.wait)


def answers(port: int) -> bool:
    """Whether anything accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def wait_for(ready: Callable[[], bool], child: subprocess.Popen[bytes]) -> None:
    """Ask until the answer is true. Raises TimeoutError after a minute, ChildProcessError when the program ended."""
    async with asyncio.timeout(START_SECONDS):
        while not ready():
            if child.poll() is not None:
                raise ChildProcessError(f"{child.args} ended with {child.returncode}")
            await asyncio.sleep(0.1)
