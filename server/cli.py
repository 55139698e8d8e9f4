"""The `amrutam` command. Each command imports its own parts, so that the small ones answer at once."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
import uvloop

from server.core.settings import Settings, SettingsMistake, read_settings

MISTAKE = 2  # exit code: what was asked for, or a setting, cannot be

app = typer.Typer(
    name="amrutam",
    help="Amrutam, a telemedicine consultation server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show locals, and locals hold secrets
)
partitions = typer.Typer(help="The monthly partitions of consultations and the audit trail.", no_args_is_help=True)
app.add_typer(partitions, name="partitions")


Folder = Annotated[
    Path | None, typer.Option("--data", file_okay=False, help="Folder of a running `amrutam up`, for its database.")
]


class Part(StrEnum):
    """Half of what a server process serves."""

    REST = "rest"
    SOCKETS = "sockets"


@app.command()
def up(
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port (8080; 0 for any free one).")] = None,
    host: Annotated[str | None, typer.Option(help="Address (127.0.0.1); another than loopback serves https.")] = None,
    data: Annotated[Path | None, typer.Option(file_okay=False, help="Folder of data, secrets and logs.")] = None,
    demo: Annotated[bool | None, typer.Option("--demo/--no-demo", help="With demo doctors, slots, accounts.")] = None,
    servers: Annotated[int, typer.Option(min=1, max=32, help="Server processes on the one port.")] = 1,
    clock: Annotated[str | None, typer.Option(help="Begin at this time, e.g. 2027-03-27T22:00Z.")] = None,
) -> None:
    """Start everything on this machine: PostgreSQL, Valkey, servers and worker."""
    from server.up.command import up as bring_up
    from server.up.environment import Wishes
    from server.up.folder import Refused

    wishes = Wishes(port=port, host=host, data=data, demo=demo, servers=servers, clock=_instant(clock))
    environ = dict(os.environ)  # noqa: TID251 - handed on to the children
    try:
        asyncio.run(bring_up(wishes, environ, _say, _tell))
    except (Refused, SettingsMistake) as error:
        _give_up(error)


@app.command()
def serve(
    only: Annotated[Part | None, typer.Option(help="REST and pages, or sockets, alone.")] = None,
    listen_fd: Annotated[int | None, typer.Option(hidden=True, help="A listening socket that was handed over.")] = None,
) -> None:
    """Run one HTTP and socket server process until it is told to stop."""
    settings = _settings()
    from server.app import CannotListen
    from server.app import serve as run

    sock = socket.socket(fileno=listen_fd) if listen_fd is not None else None
    try:
        _run(lambda: run(settings, only=only, sock=sock))
    except CannotListen as error:
        _give_up(error)


@app.command()
def worker() -> None:
    """Run one worker: steps, reminders, sweeps and periodic jobs."""
    settings = _settings()
    from worker.app import run_worker

    _run(lambda: run_worker(settings))


@app.command("seed-demo", hidden=True)
def seed_demo() -> None:
    """Make the demo's doctors, slots and accounts, as far as they are missing."""
    settings = _settings()
    from server.demo import seed_demo as seed

    _run(lambda: seed(settings))


@app.command()
def migrate() -> None:
    """Bring the schema up to date, as the owner (AMRUTAM_MIGRATE_URL, else AMRUTAM_DATABASE_URL).

    Makes the role amrutam_app if there is none, with the password that AMRUTAM_DATABASE_URL has for it.
    """
    import asyncpg

    from server.core.migrate import MigrationRefused
    from server.core.migrate import migrate as run
    from server.up.external import password_of_application

    settings = _settings()
    url = settings.migrate_url or settings.database_url
    password = password_of_application(settings.database_url.get_secret_value())
    try:
        applied = asyncio.run(run(url.get_secret_value(), app_password=password))
    except (MigrationRefused, OSError, asyncpg.PostgresError) as error:
        _give_up(error)
    for name in applied:
        typer.echo(name)
    _say("the schema is up to date")


@app.command()
def events(
    data: Folder = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also what is merely due or under way.")] = False,
    replay: Annotated[str | None, typer.Option(help="Make parked steps due again: an event's id, or all.")] = None,
    graph: Annotated[bool, typer.Option(help="Draw every flow, as Mermaid.")] = False,
) -> None:
    """List the steps that failed five times and were parked; replay them; draw who hears what."""
    from uuid import UUID

    from worker import queries, registry, sagas

    if graph:
        assert sagas  # imported for its registrations
        _tell(registry.graph().rstrip())
        return
    settings = _settings(data)
    try:
        event_id = None if replay in (None, "all") else UUID(replay)
    except ValueError:
        _give_up(f"--replay: {replay} is neither an event's id nor all.")

    async def work() -> None:
        from worker.app import open_house

        async with open_house(settings) as (database, _, _):
            if replay is not None:
                made_due = await database.write(lambda tx: queries.replay(tx, event_id), source="command")
                _say(f"{made_due} steps are due again")
                return
            rows = await database.read(lambda tx: queries.list_open(tx, parked_only=not everything), source="command")
            for row in rows:
                when = f"parked {row['parked_at']:%F %T}Z" if row["parked_at"] else f"due {row['due_at']:%F %T}Z"
                what = f"{row['event_id']}  {row['name']}  {row['step']}"
                _tell(f"{what}  {when}  {row['tries']} tries  {row['error'] or ''}")
            _say(f"{len(rows)} steps" if rows else "no step is parked" if not everything else "no step is open")

    _run(work)


@app.command("check-config")
def check_config() -> None:
    """Read the settings and say what is wrong with them; starts nothing."""
    settings = _settings()
    _say(f"the settings are fine ({settings.environment})")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def test(context: typer.Context) -> None:
    """Run the tests of a checkout; everything after `test` goes to pytest."""
    root = Path(__file__).resolve().parent.parent
    if not (root / "tests").is_dir():
        _give_up("The tests are not part of an installed package: run them in a checkout, with ./amrutam test.")
    os.chdir(root)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *context.args])  # noqa: S606 - hands over to pytest


@partitions.command("make")
def make_partitions(
    data: Folder = None,
    months: Annotated[int, typer.Option(min=1, max=36, help="How many months, this one included.")] = 13,
) -> None:
    """Make the partitions that are missing, from this month on."""
    from server.core.partitions import make_missing

    made = asyncio.run(make_missing(_owner_url(data), months))
    _say(f"{made} partitions made" if made else "no partition was missing")


@partitions.command("detach")
def detach_partitions(
    data: Folder = None,
    months: Annotated[int | None, typer.Option(min=12, help="How many months stay; AMRUTAM_TRAIL_MONTHS.")] = None,
) -> None:
    """Detach old months of the audit trail into the schema old_trail, to be copied away and dropped by hand."""
    from server.core.partitions import detach_old

    detached = asyncio.run(detach_old(_owner_url(data), months or _settings(data).trail_months))
    _say(f"detached {', '.join(detached)}" if detached else "no month of the trail is so old")


@partitions.command("repair")
def repair_partitions(data: Folder = None) -> None:
    """Move what fell into a default partition to its month, as the owner. Writers wait meanwhile."""
    from server.core.partitions import repair

    made = asyncio.run(repair(_owner_url(data)))
    _say(f"moved into {', '.join(made)}" if made else "the default partitions are empty")


def main() -> None:
    """The entry point of the installed command."""
    app()


def _run(what: Callable[[], Coroutine[Any, Any, None]]) -> None:
    from server.core.database import Superuser

    try:
        uvloop.run(what())
    except Superuser as error:
        _give_up(error)


def _settings(data: Path | None = None) -> Settings:
    """The settings of the environment; with `data`, those that the `up` of that folder gives to its children."""
    try:
        if data is None:
            return read_settings()
        from server.up.live import told_to_children

        return read_settings(told_to_children(data))
    except FileNotFoundError:
        _give_up(f"--data: no `amrutam up` runs on {data}.")
    except PermissionError:
        _give_up(f"--data: {data} belongs to somebody else.")
    except SettingsMistake as error:
        _give_up(error)


def _owner_url(data: Path | None) -> str:
    settings = _settings(data)
    return (settings.migrate_url or settings.database_url).get_secret_value()


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        _give_up(f"--clock: {text} is no time; write it as 2027-03-27T22:00Z.")
    if moment.tzinfo is None:
        _give_up(f"--clock: {text} names no zone; write it as 2027-03-27T22:00Z.")
    return moment


def _say(line: str) -> None:
    typer.echo(f"amrutam: {line}", err=True)


def _tell(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()


def _give_up(why: object) -> NoReturn:
    typer.echo(f"amrutam: {why}", err=True)
    raise typer.Exit(MISTAKE)


if __name__ == "__main__":
    main()
