"""The embedded PostgreSQL: made once, started, stopped, and started again after whatever befell it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from server.up.child import Child, Program, clean_environment
from server.up.folder import Folder, Refused, leave_sockets, open_folder, socket_folder
from server.up.programs import postgres_programs

OWNER = "amrutam_owner"
APPLICATION = "amrutam_app"
DATABASE = "amrutam"
START_SECONDS = 60.0
STARTING = (OSError, asyncpg.CannotConnectNowError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    # A statement's values are people's data. Its text and the DETAIL of an error stay out of the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
}
# The tests' own: what is written survives a killed process as before, and no longer a power cut.
UNSYNCED = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """The PostgreSQL of one data folder. `start` and `stop` may follow each other; URLs stay the same."""

    def __init__(self, folder: Folder, sockets: Path, *, durable: bool = True) -> None:
        self.folder = folder
        self._sockets = sockets
        self._durable = durable
        self._programs = postgres_programs(folder)
        self._child: Child | None = None

    @property
    def owner_url(self) -> str:
        """The database as its owner, a superuser."""
        return self.url(OWNER, DATABASE)

    @property
    def app_url(self) -> str:
        """The database as the application's role, which owns nothing."""
        return self.url(APPLICATION, DATABASE)

    def url(self, role: str, database: str) -> str:
        """Any database here as any role; the socket's folder is what lets one in."""
        return f"postgresql://{role}@/{quote(database)}?host={quote(str(self._sockets), safe='')}"

    @property
    def child(self) -> Child:
        """The running server."""
        if self._child is None:
            raise RuntimeError("PostgreSQL was not started")
        return self._child

    async def start(self) -> None:
        """Make the database if there is none, start the server and wait until it answers. Raises Refused."""
        cluster = self.folder.cluster
        if not cluster.exists():
            await asyncio.to_thread(self._make, cluster)
        else:
            await asyncio.to_thread(clear_the_way, cluster, self._sockets)
        self._check_version(cluster)
        self._child = Child(self._program(cluster))
        try:
            await self._answers()
        except BaseException:
            await self._child.stop()
            raise

    async def stop(self) -> None:
        """A fast shutdown: sessions are ended, everything is written."""
        if self._child is not None:
            await self._child.stop()

    async def kill(self) -> None:
        """kill -9, as a test of what survives it."""
        await self.child.kill()

    async def restart(self) -> None:
        """Stop it if it runs, and start it on the same data."""
        await self.stop()
        await self.start()

    def _make(self, cluster: Path) -> None:
        # Made beside its place and moved there whole: a start that was cut short leaves no half database behind.
        fresh = self.folder.for_services(cluster.with_name(f"postgres.unfinished-{os.getpid()}-{time.time_ns()}"))
        account = self.folder.account
        made = subprocess.run(  # noqa: S603 - our own list of arguments, no shell
            [
                self._programs / "initdb",
                f"--pgdata={fresh}",
                f"--username={OWNER}",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--auth-local=trust",
                "--auth-host=reject",
                "--no-instructions",
                *([] if self._durable else ["--no-sync"]),
            ],
            env=clean_environment(),
            cwd=fresh,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if made.returncode != 0:
            why = made.stderr.decode(errors="replace").strip().splitlines()
            raise Refused(f"PostgreSQL could not make a database in {fresh}: {why[-1] if why else made.returncode}")
        fresh.rename(cluster)

    def _check_version(self, cluster: Path) -> None:
        try:
            kept = (cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise Refused(f"{cluster} is not a database of PostgreSQL: {error.strerror}.") from error
        with (self._programs.parent / "share" / "postgresql" / "postgres.bki").open() as catalog:
            ours = catalog.readline().split()[-1]
        if kept != ours:
            raise Refused(f"{cluster} was made by PostgreSQL {kept}, and this is {ours}: move it with pg_dump first.")

    def _program(self, cluster: Path) -> Program:
        settings = SETTINGS | ({} if self._durable else UNSYNCED) | {"unix_socket_directories": f'"{self._sockets}"'}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            name="PostgreSQL",
            argv=(str(self._programs / "postgres"), "-D", str(cluster), *options),
            environ=clean_environment(),
            cwd=cluster,
            log=self.folder.logs / "postgres.log",
            account=self.folder.account,
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
            stop_seconds=60.0,
        )

    async def _answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                conn = await asyncpg.connect(self.url(OWNER, "postgres"), timeout=5)
                break
            except STARTING as error:
                if self.child.returncode is not None:
                    raise Refused(f"PostgreSQL did not start: {self.child.last_words()}") from error
                # It says so while it recovers, and recovery takes as long as it takes.
                if time.monotonic() > deadline and not isinstance(error, asyncpg.CannotConnectNowError):
                    raise Refused(f"PostgreSQL does not answer after {START_SECONDS:.0f} s.") from error
                await asyncio.sleep(0.02)
        try:
            if not await conn.fetchval("select true from pg_database where datname = $1", DATABASE):
                await conn.execute(f"create database {DATABASE}")
        finally:
            await conn.close()


def clear_the_way(cluster: Path, sockets: Path) -> None:
    """Make a start possible after a crash: end what is left of the last server, set lock files aside that lie.

    A lock file whose process is gone is PostgreSQL's own to judge. Only an empty or broken one, or one whose pid is
    another program's by now, is renamed, and only when no process works on this database. Raises Refused.
    """
    # First a moment without a signal: what is left is mostly ending already.
    for what, seconds in ((None, 3.0), (signal.SIGINT, 10.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 5.0)):
        left = _servers_of(cluster)
        if what is not None:
            for process in left:
                _send(process, what)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            psutil.wait_procs(left, timeout=0.5)
            left = _servers_of(cluster)
        if not left:
            break
    else:
        raise Refused(f"Processes of an earlier PostgreSQL still work on {cluster}: {[p.pid for p in left]}.")
    for lock in (cluster / "postmaster.pid", *sockets.glob(".s.PGSQL.*.lock")):
        if _lies(lock):
            lock.rename(lock.with_name(f"{lock.name}.set-aside-{time.time_ns()}"))


def _servers_of(cluster: Path) -> list[psutil.Process]:
    """Every process of PostgreSQL that works in this folder (it is the working directory of all of them)."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and os.path.samefile(process.cwd(), cluster):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _send(process: psutil.Process, what: signal.Signals) -> None:
    try:
        process.send_signal(what)
    except psutil.NoSuchProcess:
        return


def _lies(lock: Path) -> bool:
    try:
        first = lock.read_bytes().split(b"\n", 1)
    except FileNotFoundError:
        return False
    try:
        pid = abs(int(first[0]))
    except ValueError:
        return True
    return pid == 0 or len(first) == 1 or psutil.pid_exists(pid)


@asynccontextmanager
async def embedded_postgres(path: Path, *, durable: bool = False) -> AsyncGenerator[Postgres]:
    """A PostgreSQL in `path` for as long as the block lasts; by default with fsync off, for tests."""
    folder = await asyncio.to_thread(open_folder, path)
    sockets = socket_folder(folder)
    postgres = Postgres(folder, sockets, durable=durable)
    await postgres.start()
    try:
        yield postgres
    finally:
        await postgres.stop()
        leave_sockets(folder, sockets)
