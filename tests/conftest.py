"""What every test stands on: a real PostgreSQL and Valkey of the run's own, servers in this process, a fixed cast."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from pydantic import SecretStr

from server.core.migrate import migrate
from server.core.settings import Settings, read_settings
from server.up import embedded_postgres, embedded_valkey
from tests.house import House, open_house_of

PASSWORD = "monsoon-lotus-ferry-27"


class Services:
    """The run's own PostgreSQL and Valkey, with a template database that each test copies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = contextlib.AsyncExitStack()
        self.count = 0

    async def start(self) -> None:
        """Start both, and migrate the template."""
        self.pg = await self.stack.enter_async_context(embedded_postgres(self.folder))
        self.valkey = await self.stack.enter_async_context(embedded_valkey(self.folder))
        await migrate(self.pg.owner_url)

    async def new_database(self) -> str:
        """A fresh copy of the migrated database; returns its name."""
        self.count += 1
        name = f"test_{self.count}"
        conn = await asyncpg.connect(self.pg.url(self.owner, "postgres"))
        try:
            await conn.execute(f'create database {name} template "{self.template}"')
        finally:
            await conn.close()
        return name

    @property
    def owner(self) -> str:
        """The role that owns everything."""
        return urlsplit(self.pg.owner_url).username or "postgres"

    @property
    def template(self) -> str:
        """The database that was migrated."""
        return urlsplit(self.pg.owner_url).path.lstrip("/")


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL and Valkey of this run (one pair a worker process of pytest-xdist)."""
    folder = Path(tempfile.mkdtemp(prefix="amrutam-test-", dir="/tmp"))
    running = Services(folder)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(running.start())
        yield running
    finally:
        loop.run_until_complete(running.stack.aclose())
        loop.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def settings(services: Services) -> Settings:
    """Settings of a test: its own database, the run's Valkey emptied, production's rules without its secrets."""
    name = await services.new_database()
    return read_settings(
        {},
        environment="test",
        database_url=SecretStr(services.pg.url("amrutam_app", name)),
        redis_url=SecretStr(services.valkey.url),
        secret=SecretStr("test-secret-test-secret-test-secret"),
        key_encryption_key=SecretStr("test-kek-test-kek-test-kek-test-kek-"),
        sandbox_secret=SecretStr("test-sandbox-test-sandbox-test-sand"),
        trusted_proxies=("127.0.0.0/8",),
        demo=True,
        demo_password=SecretStr(PASSWORD),
    )


@pytest.fixture
async def house(services: Services, settings: Settings) -> AsyncIterator[House]:
    """One server and one worker on an empty database: what most tests talk to."""
    async with open_house_of(settings, services.pg.url(services.owner, _database(settings))) as opened:
        yield opened


def _database(settings: Settings) -> str:
    url = urlsplit(settings.database_url.get_secret_value())
    assert urlunsplit(url)
    return url.path.lstrip("/")
