"""`amrutam up` as a person meets it: an address, yesterday's data, a sentence when it cannot be."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import asyncpg
import psutil
import pytest

from server.up import Refused, embedded_postgres, embedded_valkey, open_folder
from server.up.address import listen
from server.up.child import mark
from server.up.external import as_application, is_application, password_of_application
from server.up.folder import socket_folder
from server.up.live import Live
from server.up.secret_file import kept_secrets
from server.up.tls import own_certificate

ROOT = Path(__file__).resolve().parent.parent
LONG = 60.0


@dataclass
class Started:
    """One `amrutam up` that was started."""

    process: asyncio.subprocess.Process
    data: Path
    said: Path

    @property
    def note(self) -> dict[str, Any]:
        """What it noted about itself."""
        return json.loads((self.data / "up.json").read_text())

    def pid_of(self, name: str) -> int:
        """A child's process id."""
        return int(self.note["children"][name]["pid"])

    async def address(self) -> str:
        """The first line on stdout."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LONG):
            line = await self.process.stdout.readline()
        assert line, self.said.read_text()
        return line.decode().removesuffix("\n")

    async def says(self, words: str) -> None:
        """Wait for a line on stderr."""
        async with asyncio.timeout(LONG):
            while words not in self.said.read_text():  # noqa: ASYNC110 - the thing is in a file
                await asyncio.sleep(0.05)

    async def end(self, which: signal.Signals = signal.SIGINT) -> int:
        """Tell it to end, and wait."""
        if self.process.returncode is None:
            self.process.send_signal(which)
        async with asyncio.timeout(LONG):
            return await self.process.wait()


async def start(data: Path, *options: str, **environ: str) -> Started:
    """`amrutam up` on a free port, in an environment with nothing in it but what is given."""
    said = data.with_name(data.name + ".said")
    with said.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "server.cli", "up", "--port", "0", "--data", str(data), *options,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), "LANG": "hi_IN", **environ},
            cwd="/",
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )  # fmt: skip
    return Started(process, data, said)


def ask(address: str, path: str) -> str:
    """The status line of a GET."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK, address, path], capture_output=True, text=True, check=True, timeout=30
    )
    return asked.stdout.strip()


def command(*arguments: str) -> str:
    """What another command says."""
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "server.cli", *arguments],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=60,
    )
    return ran.stdout


ASK = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1] + sys.argv[2], timeout=20).status)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a space in its name, that the services' account reaches."""
    made = Path(tempfile.mkdtemp(prefix="amrutam up ", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextlib.asynccontextmanager
async def running(data: Path, *options: str, **environ: str) -> AsyncGenerator[Started]:
    """Start, and end whatever happens."""
    started = await start(data, *options, **environ)
    try:
        yield started
    finally:
        await started.end()


@contextlib.asynccontextmanager
async def as_owner(data: Path) -> AsyncGenerator[asyncpg.Connection[asyncpg.Record]]:
    """The embedded database as its owner."""
    conn = await asyncpg.connect(f"postgresql://amrutam_owner@/amrutam?host={quote(str(data / 'sockets'), safe='')}")
    try:
        yield conn
    finally:
        await conn.close()


@pytest.mark.timeout(400)
async def test_answers_at_the_address_it_prints_and_finds_yesterdays_data(folder: Path) -> None:
    data = folder / "data"
    async with running(data, "--demo") as up:
        address = await up.address()
        assert address.startswith("http://127.0.0.1:")
        assert await asyncio.to_thread(ask, address, "/readyz") == "200"
        async with as_owner(data) as conn:
            await conn.execute("create table yesterday as select 41 + 1 as x")
        said = up.said.read_text()
        pids = [child["pid"] for child in up.note["children"].values()]
        with psutil.Process(up.process.pid).oneshot():
            children = psutil.Process(up.process.pid).children(recursive=True)
        listed = await asyncio.to_thread(command, "events", "--data", str(data))
        assert listed.endswith("no step is parked\n")
        second = await start(data)
        async with asyncio.timeout(LONG):
            assert await second.process.wait() == 2
        assert f"already runs on {data}, at {address}." in second.said.read_text()
        assert await up.end() == 0
        assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
        assert not any(mark(pid) for pid in pids)
    password = next(line for line in said.splitlines() if "demo password" in line)
    assert "sandbox secret" in said
    assert "admin@example.org" in said

    async with running(data) as again:
        await again.address()
        assert password in again.said.read_text()
        async with as_owner(data) as conn:
            assert await conn.fetchval("select x from yesterday") == 42


@pytest.mark.timeout(400)
@pytest.mark.chaos
async def test_starts_again_what_is_killed_and_goes_on_after_its_own_kill(folder: Path) -> None:
    data = folder / "data"
    up = await start(data, "--no-demo", "--servers", "2")
    address = await up.address()
    for name in ("server 1", "worker", "Valkey", "PostgreSQL"):
        old = up.pid_of(name)
        os.kill(old, signal.SIGKILL)
        await up.says(f"{name} was ended by SIGKILL; starting it again")
        async with asyncio.timeout(LONG):
            while up.pid_of(name) == old or mark(up.pid_of(name)) is None:  # noqa: ASYNC110 - the thing is in a file
                await asyncio.sleep(0.05)
        assert await asyncio.to_thread(ask, address, "/healthz") == "200"
    async with asyncio.timeout(LONG):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                async with as_owner(data) as conn:
                    await conn.execute("create table yesterday as select 42 as x")
                    break
            await asyncio.sleep(0.05)
    pids = [child["pid"] for child in up.note["children"].values()]
    await up.end(signal.SIGKILL)

    async with running(data, "--no-demo", "--port", str(urlsplit(address).port)) as again:
        assert await again.address() == address
        assert not any(mark(pid) for pid in pids)
        async with as_owner(data) as conn:
            assert await conn.fetchval("select x from yesterday") == 42


@pytest.mark.chaos
@pytest.mark.parametrize("lock", ["", "123", "{stranger}\n", "{stranger}\n/somewhere\n1\n5432\n/else\n\n1 1\nready\n"])
async def test_a_lock_file_that_lies_is_set_aside_and_nothing_is_lost(folder: Path, lock: str) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    data = folder / "data"
    try:
        async with embedded_postgres(data) as postgres:
            conn = await asyncpg.connect(postgres.owner_url)
            await conn.execute("create table yesterday as select 42 as x")
            await conn.close()
            await postgres.kill()
            for path in (data / "postgres" / "postmaster.pid", data / "sockets" / ".s.PGSQL.5432.lock"):
                path.write_text(lock.format(stranger=stranger.pid))
            await postgres.start()
            conn = await asyncpg.connect(postgres.owner_url)
            assert await conn.fetchval("select x from yesterday") == 42
            await conn.close()
        assert len(list((data / "postgres").glob("postmaster.pid.set-aside-*"))) == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.chaos
async def test_an_orphaned_server_is_known_by_pid_and_start_and_a_stranger_is_left_alone(folder: Path) -> None:
    stranger = subprocess.Popen(["sleep", "600"])
    ours = subprocess.Popen(["sleep", "600"])
    opened = open_folder(folder / "data")
    try:
        live = Live(opened)
        live.started("server 1", ours.pid)
        live.started("server 2", stranger.pid)
        note = json.loads((opened.path / "up.json").read_text())
        note["children"]["server 2"]["started"] = "another time"
        live.release()
        (opened.path / "up.json").write_text(json.dumps(note))
        assert Live(opened).end_orphans() == ["server 1"]
        assert ours.wait(timeout=5) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        for process in (stranger, ours):
            process.kill()
            process.wait()


@pytest.mark.parametrize("note", ["", '{"pid": 12, "addr', "[]", '{"children": {"server 1": 7}}', '{"children": 7}'])
def test_a_broken_note_stops_nothing(folder: Path, note: str) -> None:
    opened = open_folder(folder / "data")
    (opened.path / "up.json").write_text(note)
    (opened.path / "up.lock").write_text("")
    live = Live(opened)
    assert live.end_orphans() == []
    with pytest.raises(Refused, match="and is starting"):
        Live(opened)
    live.release()


async def test_services_come_back_at_the_same_address(folder: Path) -> None:
    async with embedded_postgres(folder / "data") as postgres, embedded_valkey(folder / "data") as valkey:
        await postgres.restart()
        await valkey.restart()
        conn = await asyncpg.connect(postgres.owner_url)
        assert await conn.fetchval("show listen_addresses") == ""
        assert await conn.fetchval("show fsync") == "off"
        await conn.close()
        sockets = folder / "data" / "sockets"
        assert sockets.stat().st_mode & 0o777 == 0o700
        assert (folder / "data" / "postgres").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["x" * 100, "a,b", 'quo"te'])
async def test_a_path_that_holds_no_socket_gets_a_short_folder_of_its_own(folder: Path, name: str) -> None:
    opened = open_folder(folder / name)
    sockets = socket_folder(opened)
    assert sockets.parent == Path("/tmp")
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert sockets.stat().st_uid == opened.owner()
    sockets.rmdir()
    async with embedded_valkey(folder / name) as valkey:
        taken = Path(urlsplit(valkey.url).path).parent
        assert taken.exists()
    assert not taken.exists()


def test_secrets_are_made_once_and_never_replaced(folder: Path) -> None:
    opened = open_folder(folder / "data")
    made = kept_secrets(opened)
    path = opened.path / "secrets.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept_secrets(opened) == made
    path.write_text(path.read_text()[:60])
    with pytest.raises(Refused, match="is broken"):
        kept_secrets(opened)
    path.unlink()
    opened.cluster.mkdir()
    with pytest.raises(Refused, match="is gone"):
        kept_secrets(opened)


def test_a_folder_with_other_things_in_it_is_left_alone(folder: Path) -> None:
    (folder / "letters.txt").write_text("dear")
    folder.chmod(0o755)
    with pytest.raises(Refused, match="holds other things"):
        open_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is asked to run services as somebody else")
def test_root_is_told_of_a_folder_that_the_services_cannot_reach(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(Refused, match="closed to the account nobody"):
        open_folder(closed / "data")
    assert closed.stat().st_mode & 0o777 == 0o700
    assert not (closed / "data").exists()


@pytest.mark.parametrize(
    ("options", "environ", "sentence"),
    [
        ((), {"AMRUTAM_LIMIT_FACTOR": "lots"}, "AMRUTAM_LIMIT_FACTOR: "),
        ((), {"AMRUTAM_TLS_CERT": "/nowhere"}, "AMRUTAM_TLS_CERT and AMRUTAM_TLS_KEY belong together"),
        (
            (),
            {"AMRUTAM_MIGRATE_URL": "postgresql://x@/y"},
            "AMRUTAM_MIGRATE_URL is set and AMRUTAM_DATABASE_URL is not",
        ),
        (("--clock", "2027-03-27T22:00"), {}, "--clock: 2027-03-27T22:00 names no zone"),
        (("--clock", "2027-03-27T22:00Z"), {"AMRUTAM_ENVIRONMENT": "production"}, "--clock moves the clock of"),
        (("--demo",), {"AMRUTAM_ENVIRONMENT": "production"}, "production has no demo accounts"),
        (("--host", "203.0.113.7"), {}, "203.0.113.7 is not an address of this machine"),
    ],
)
async def test_a_mistake_is_one_sentence(
    folder: Path, options: tuple[str, ...], environ: dict[str, str], sentence: str
) -> None:
    started = await start(folder / "data", *options, **environ)
    async with asyncio.timeout(LONG):
        assert await started.process.wait() == 2
    said = started.said.read_text()
    assert sentence in said
    assert "Traceback" not in said
    assert started.process.stdout is not None
    assert await started.process.stdout.read() == b""


async def test_a_port_in_use_is_one_sentence(folder: Path) -> None:
    taken = listen("127.0.0.1", 0)
    with taken.sock:
        started = await start(folder / "data", "--port", str(taken.port))
        async with asyncio.timeout(LONG):
            assert await started.process.wait() == 2
        assert f"Port {taken.port} on 127.0.0.1 is in use" in started.said.read_text()


async def test_the_own_authority_vouches_for_every_address_of_this_machine(folder: Path) -> None:
    opened = open_folder(folder / "data")
    now = datetime.now(UTC)  # noqa: TID251 - certificates are about the world's clock
    aging = own_certificate(opened, now - timedelta(days=380))
    made = own_certificate(opened, now)
    assert made.authority is not None
    assert own_certificate(opened, now).sha256 == made.sha256 != aging.sha256

    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(made.cert, made.key)
    asking = ssl.create_default_context(cafile=str(made.authority))
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=serving)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for name in ("127.0.0.1", "localhost"):
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=asking, server_hostname=name)
            writer.close()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (opened.path / "tls").iterdir())


@pytest.mark.parametrize(
    ("owner", "application"),
    [
        ("postgresql://boss:p%40w@db:5432/clinic", "postgresql://amrutam_app:s%2F@db:5432/clinic"),
        ("postgresql://db/clinic?user=boss&sslmode=require", "postgresql://amrutam_app:s%2F@db/clinic?sslmode=require"),
        ("postgresql:///clinic?host=/run/pg", "postgresql://amrutam_app:s%2F@/clinic?host=%2Frun%2Fpg"),
        ("postgres://a:b@one:1,two:2/clinic", "postgres://amrutam_app:s%2F@one:1,two:2/clinic"),
    ],
)
def test_an_owners_address_becomes_the_applications(owner: str, application: str) -> None:
    assert as_application(owner, "s/") == application
    assert not is_application(owner)
    assert is_application(application)
    assert password_of_application(application) == "s/"
    assert password_of_application(owner) is None


@dataclass
class Distribution:
    """A PostgreSQL 15 and a Redis 7 of the distribution, with passwords, on loopback ports of their own."""

    owner_url: str
    redis_url: str


@pytest.fixture
async def distribution(folder: Path) -> AsyncGenerator[Distribution]:
    """Both, for as long as the test lasts."""
    programs, redis = Path("/usr/lib/postgresql/15/bin"), shutil.which("redis-server")
    if not programs.exists() or redis is None:
        pytest.skip("no PostgreSQL 15 or no Redis of the distribution")
    account: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    home = folder / "distribution"
    home.mkdir()
    if account:
        shutil.chown(home, "nobody", "nogroup")
    (home / "password").write_text("p@ss/word")
    ports = [listen("127.0.0.1", 0) for _ in range(2)]
    for taken in ports:
        taken.sock.close()
    cluster = home / "cluster"
    options: dict[str, Any] = {"cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **account}
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            cluster,
            "-U",
            "boss",
            "-A",
            "scram-sha-256",
            f"--pwfile={home / 'password'}",
            "-N",
        ],
        check=True,
        **options,
    )
    running = [
        subprocess.Popen(
            [
                programs / "postgres",
                "-D",
                cluster,
                "-p",
                str(ports[0].port),
                "-c",
                "unix_socket_directories=",
                "-c",
                "fsync=off",
            ],
            **options,
        ),
        subprocess.Popen([redis, "--port", str(ports[1].port), "--bind", "127.0.0.1", "--save", ""], **options),
    ]
    try:
        owner_url = f"postgresql://boss:p%40ss%2Fword@127.0.0.1:{ports[0].port}/postgres"
        async with asyncio.timeout(LONG):
            while True:
                with contextlib.suppress(OSError, asyncpg.PostgresError):
                    await (await asyncpg.connect(owner_url)).close()
                    break
                await asyncio.sleep(0.05)
        yield Distribution(owner_url, f"redis://127.0.0.1:{ports[1].port}/3")
    finally:
        for process in running:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)


@pytest.mark.timeout(400)
@pytest.mark.external
async def test_runs_on_a_postgresql_15_and_a_redis_7_of_somebody_elses(
    folder: Path, distribution: Distribution
) -> None:
    environ = {"AMRUTAM_DATABASE_URL": distribution.owner_url, "AMRUTAM_REDIS_URL": distribution.redis_url}
    async with running(folder / "data", **environ) as up:
        assert await asyncio.to_thread(ask, await up.address(), "/readyz") == "200"
        assert set(up.note["children"]) == {"server 1", "worker"}
        told = json.loads((folder / "data" / "settings.json").read_text())
        assert told["AMRUTAM_DATABASE_URL"].startswith("postgresql://amrutam_app:")
        assert "boss" not in json.dumps(told)
    assert not (folder / "data" / "postgres").exists()

    # Another folder has another password for the role; it is given to it, and said.
    async with running(folder / "other", "--no-demo", **environ) as again:
        await again.address()
        assert "amrutam_app had another password" in again.said.read_text()
        app_url = json.loads((folder / "other" / "settings.json").read_text())["AMRUTAM_DATABASE_URL"]

    # With the application's address alone nothing is migrated, only looked at.
    environ["AMRUTAM_DATABASE_URL"] = app_url
    async with running(folder / "other", "--no-demo", **environ) as alone:
        await alone.address()
        assert "schema: up to date" in alone.said.read_text()
