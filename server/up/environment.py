"""What the children are told: the environment of `up`, with addresses and secrets filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from server.core.settings import PREFIX, Environment, Settings, read_settings
from server.up.address import Listening
from server.up.folder import Refused
from server.up.secret_file import Secrets

if TYPE_CHECKING:
    from server.up.tls import Certificate

# What production needs and `up` makes: stand-ins while the rest of the settings is checked, before anything starts.
MADE_BY_UP = ("secret", "key_encryption_key", "sandbox_secret")
CONNECTIONS = 80  # of the embedded server's 100; the rest is for people and migrations


@dataclass(frozen=True)
class Wishes:
    """The options of `amrutam up`, None where nobody said anything."""

    port: int | None = None
    host: str | None = None
    data: Path | None = None
    demo: bool | None = None
    servers: int = 1
    clock: datetime | None = None


def is_set(environ: Mapping[str, str], name: str) -> bool:
    """Whether a setting is given, as itself or as a file."""
    variable = PREFIX + name.upper()
    return variable in environ or f"{variable}_FILE" in environ


def first_look(environ: Mapping[str, str], wishes: Wishes) -> Settings:
    """The settings as far as they can be judged before anything is touched.

    Raises SettingsMistake naming each wrong variable, Refused for options that do not go together.
    """
    stand_ins = {name: "x" * 48 for name in MADE_BY_UP if not is_set(environ, name)}
    settings = read_settings(environ, **stand_ins, **({"host": wishes.host} if wishes.host else {}))
    if settings.environment is Environment.PRODUCTION and wishes.demo:
        raise Refused("--demo: production has no demo accounts.")
    if settings.environment is not Environment.DEV and wishes.clock is not None:
        raise Refused(f"--clock moves the clock of the development profile only, and {PREFIX}ENVIRONMENT is another.")
    return settings


def wants_demo(environ: Mapping[str, str], wishes: Wishes, settings: Settings) -> bool:
    """Whether to run with the demo's people: said by an option, else by the setting, else yes in development."""
    if wishes.demo is not None:
        return wishes.demo
    return settings.demo if is_set(environ, "demo") else settings.environment is Environment.DEV


def children_environment(
    environ: Mapping[str, str],
    secrets: Secrets,
    listening: Listening,
    certificate: Certificate | None,
    names: list[str],
    *,
    database_url: str,
    redis_url: str,
    demo: bool,
    data: Path,
    clock_shift_seconds: float | None,
    processes: int,
) -> dict[str, str]:
    """Everything a child reads. The owner's database address is not among it."""
    scheme = "https" if certificate else "http"
    told: dict[str, str] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "demo": "true" if demo else "false",
        "host": listening.host,
        "port": str(listening.port),
        "data_dir": str(data),
    }
    usual: dict[str, str] = {
        "secret": secrets.secret,
        "key_encryption_key": secrets.key_encryption_key,
        "sandbox_secret": secrets.sandbox_secret,
        "public_url": listening.address(scheme),
    }
    if demo:
        usual["demo_password"] = secrets.demo_password
    if processes * 10 > CONNECTIONS:
        usual["pool_max"] = str(max(2, CONNECTIONS // processes))
    if certificate is not None:
        told |= {"tls_cert": str(certificate.cert), "tls_key": str(certificate.key)}
    if clock_shift_seconds is not None:
        told["clock_shift_seconds"] = repr(clock_shift_seconds)
    told |= {name: value for name, value in usual.items() if not is_set(environ, name)}
    if not is_set(environ, "allowed_origins"):
        hosts = ("127.0.0.1", "localhost") if listening.on_loopback else names
        told["allowed_origins"] = ",".join(
            f"{scheme}://{f'[{host}]' if ':' in host else host}:{listening.port}" for host in hosts
        )
    ours = {PREFIX + name.upper() for name in told} | {PREFIX + "MIGRATE_URL"}
    kept = {name: value for name, value in environ.items() if name.removesuffix("_FILE") not in ours}
    kept["PYTHONPATH"] = _where_the_code_is(environ)
    return kept | {PREFIX + name.upper(): value for name, value in told.items()}


def _where_the_code_is(environ: Mapping[str, str]) -> str:
    root = str(Path(__file__).resolve().parent.parent.parent)
    earlier = [part for part in environ.get("PYTHONPATH", "").split(":") if part and part != root]
    return ":".join([root, *earlier])
