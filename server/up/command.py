"""`amrutam up`: from a folder to an address that answers, a line a step, and back down in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

from server.core.clock import utc_now
from server.core.migrate import MigrationRefused, migrate
from server.core.settings import Settings
from server.up.address import Listening, is_ready, listen, local_names
from server.up.child import Child, Program
from server.up.environment import Wishes, children_environment, first_look, is_set, wants_demo
from server.up.external import as_application, check_schema, is_application, let_application_in
from server.up.folder import Folder, Refused, default_folder, leave_sockets, open_folder, socket_folder
from server.up.live import Live
from server.up.postgres import Postgres
from server.up.secret_file import Secrets, kept_secrets
from server.up.supervisor import Say, Supervisor
from server.up.valkey import Valkey

if TYPE_CHECKING:
    from server.up.tls import Certificate

SERVICES, PROCESSES = 1, 2  # layers: services start first and end last
READY_SECONDS = 120.0
DEMO_PEOPLE = "admin@example.org, doctor1@example.org ... doctor8, patient1@example.org ... patient8"


@dataclass
class _House:
    """What is known of this start so far."""

    folder: Folder
    live: Live
    secrets: Secrets
    settings: Settings
    listening: Listening
    certificate: Certificate | None
    supervisor: Supervisor
    say: Say


async def up(wishes: Wishes, environ: Mapping[str, str], say: Say, tell: Callable[[str], None]) -> None:
    """Bring everything up, `tell` the address when it answers, and stay until SIGINT, SIGTERM or SIGHUP.

    `say` gets a line a step. Raises Refused or SettingsMistake with the sentence that says why not.
    """
    stop, hurry = _signals()
    began = time.monotonic()
    settings = first_look(environ, wishes)
    folder = open_folder(wishes.data or settings.data_dir or default_folder(environ))
    os.umask(0o077)  # what the children write is nobody else's to read
    live = Live(folder)
    supervisor = Supervisor(say, live.started)
    sockets = socket_folder(folder)
    try:
        for name in live.end_orphans():
            say(f"{name} was left from a start that was killed: ended")
        house = _move_in(wishes, settings, folder, live, supervisor, say)
        starting = asyncio.create_task(_bring_up(house, wishes, environ, sockets))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            _say_who_is_here(house, environ, demo=wants_demo(environ, wishes, settings))
            say(f"ready in {time.monotonic() - began:.1f} s; Ctrl-C ends it")
            tell(live.address)
            await stopping
        else:
            starting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await starting
        say("stopping; once more for at once")
    finally:
        await supervisor.stop(hurry)
        leave_sockets(folder, sockets)
        live.release()
    say("stopped")


def _move_in(
    wishes: Wishes, settings: Settings, folder: Folder, live: Live, supervisor: Supervisor, say: Say
) -> _House:
    say(f"data in {folder.path}, logs in {folder.logs}")
    secrets = kept_secrets(folder)
    port = settings.port if wishes.port is None else wishes.port
    listening = listen(settings.host, port)
    certificate = _certificate(settings, folder) if settings.tls_cert or not listening.on_loopback else None
    live.at(listening.address("https" if certificate else "http"))
    return _House(folder, live, secrets, settings, listening, certificate, supervisor, say)


def _certificate(settings: Settings, folder: Folder) -> Certificate:
    from server.up.tls import given_certificate, own_certificate  # an eighth of a second, only for who needs it

    if settings.tls_cert is not None and settings.tls_key is not None:
        return given_certificate(settings.tls_cert, settings.tls_key)
    return own_certificate(folder, utc_now())


async def _bring_up(house: _House, wishes: Wishes, environ: Mapping[str, str], sockets: Path) -> None:
    redis_url, (app_url, owner_url) = await asyncio.gather(
        _redis(house, environ, sockets), _database(house, environ, sockets)
    )
    demo = wants_demo(environ, wishes, house.settings)
    told = children_environment(
        environ,
        house.secrets,
        house.listening,
        house.certificate,
        local_names(),
        database_url=app_url,
        redis_url=redis_url,
        demo=demo,
        data=house.folder.path,
        clock_shift_seconds=(wishes.clock - utc_now()).total_seconds() if wishes.clock else None,
        processes=wishes.servers + 1,
    )
    house.live.told(told | ({"AMRUTAM_MIGRATE_URL": owner_url} if owner_url else {}))
    # Side by side: most of both is the reading of their own code, and nobody is told the address before the two ended.
    tasks = [asyncio.create_task(_processes(house, told, wishes.servers))]
    if demo:
        tasks.append(asyncio.create_task(_seed(house, told)))
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _redis(house: _House, environ: Mapping[str, str], sockets: Path) -> str:
    if is_set(environ, "redis_url"):
        house.say("Redis: the one of AMRUTAM_REDIS_URL")
        return house.settings.redis_url.get_secret_value()
    valkey = Valkey(house.folder, sockets)

    async def start() -> Child:
        await valkey.start()
        return valkey.child

    await house.supervisor.keep("Valkey", start, layer=SERVICES)
    house.say("Valkey runs")
    return valkey.url


async def _database(house: _House, environ: Mapping[str, str], sockets: Path) -> tuple[str, str | None]:
    """A database with the schema of today: its address for the application, and for the owner of an embedded one."""
    settings, password = house.settings, house.secrets.app_password
    if not is_set(environ, "database_url"):
        if settings.migrate_url is not None:
            raise Refused("AMRUTAM_MIGRATE_URL is set and AMRUTAM_DATABASE_URL is not: set both, or neither.")
        postgres = await _postgres(house, sockets)
        await _schema(house, postgres.owner_url)
        return postgres.app_url, postgres.owner_url
    house.say("PostgreSQL: the one of AMRUTAM_DATABASE_URL")
    given = settings.database_url.get_secret_value()
    if settings.migrate_url is not None:
        await _schema(house, settings.migrate_url.get_secret_value())
        return given, None
    if is_application(given):
        await check_schema(given)
        house.say("schema: up to date")
        return given, None
    await _schema(house, given)
    app_url = as_application(given, password)
    if await let_application_in(given, app_url, password):
        house.say("the role amrutam_app had another password: it has this folder's now")
    return app_url, None


async def _postgres(house: _House, sockets: Path) -> Postgres:
    if not house.folder.cluster.exists():
        house.say("PostgreSQL: making a new database")
    postgres = Postgres(house.folder, sockets)

    async def start() -> Child:
        await postgres.start()
        return postgres.child

    await house.supervisor.keep("PostgreSQL", start, layer=SERVICES)
    house.say("PostgreSQL runs")
    return postgres


async def _schema(house: _House, owner_url: str) -> None:
    try:
        # The password counts where the server asks for one; on our own socket it does no harm.
        applied = await migrate(owner_url, app_password=house.secrets.app_password)
    except (
        MigrationRefused,
        OSError,
        TimeoutError,
        ValueError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        raise Refused(f"The schema could not be brought up to date: {error}.") from error
    house.say(f"schema: {len(applied)} migrations applied" if applied else "schema: up to date")


async def _seed(house: _House, told: Mapping[str, str]) -> None:
    child = Child(_python(house, told, "seed-demo", "seed-demo"))
    try:
        code = await child.ended()
    finally:
        await child.kill()
    if code != 0:
        raise Refused(f"The demo data could not be made: {child.last_words()}")
    house.say("demo: doctors, slots and accounts are there")


async def _processes(house: _House, told: Mapping[str, str], servers: int) -> None:
    fd = house.listening.sock.fileno()
    starts = [
        _python(house, told, f"server {n}", "serve", "--listen-fd", str(fd), pass_fds=(fd,))
        for n in range(1, servers + 1)
    ]
    for program in [*starts, _python(house, told, "worker", "worker")]:
        await house.supervisor.keep(program.name, _starting(program), layer=PROCESSES)
    house.say(f"{servers} server{'s' if servers > 1 else ''} and the worker are starting")
    deadline = time.monotonic() + READY_SECONDS
    name = house.live.address.split("://")[1]
    while not await is_ready(house.listening, https=house.certificate is not None, name=name):
        if (child := house.supervisor.gave_up()) is not None:
            raise Refused(f"{child.program.name} does not start: {child.last_words()}")
        if time.monotonic() > deadline:
            raise Refused(f"No server answered /readyz within {READY_SECONDS:.0f} s; see {house.folder.logs}.")
        await asyncio.sleep(0.05)


def _starting(program: Program) -> Callable[[], asyncio.Future[Child]]:
    async def start() -> Child:
        return Child(program)

    return lambda: asyncio.ensure_future(start())


def _python(
    house: _House, told: Mapping[str, str], name: str, *command: str, pass_fds: tuple[int, ...] = ()
) -> Program:
    return Program(
        name=name,
        # -P: a folder named `server` where somebody happens to stand is not ours.
        argv=(sys.executable, "-P", "-m", "server.cli", *command),
        environ=told,
        cwd=house.folder.path,
        log=house.folder.logs / f"{name.replace(' ', '-')}.log",
        stop_seconds=20.0,
        pass_fds=pass_fds,
    )


def _say_who_is_here(house: _House, environ: Mapping[str, str], *, demo: bool) -> None:
    say, certificate = house.say, house.certificate
    if demo:
        password = house.settings.demo_password
        say(f"demo accounts: {DEMO_PEOPLE}")
        say(f"demo password: {password.get_secret_value() if password else house.secrets.demo_password}")
        given = house.settings.sandbox_secret.get_secret_value() if is_set(environ, "sandbox_secret") else None
        say(f"sandbox secret: {given or house.secrets.sandbox_secret}")
    if certificate is not None:
        say(f"certificate SHA-256 {certificate.sha256}")
        if certificate.authority is not None:
            say(f"signed by this folder's own authority: {certificate.authority}")
    if not house.listening.on_loopback:
        say(f"open {house.live.address} on a phone in the same network:\n{_qr_code(house.live.address)}")


def _qr_code(text: str) -> str:
    import io

    import segno

    drawn = io.StringIO()
    segno.make(text, error="m").terminal(drawn, compact=True)
    return drawn.getvalue().rstrip("\n")


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """An event for the first request to stop, one for the second."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    for which in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(which, asked)
    return stop, hurry
