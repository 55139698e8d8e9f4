"""What every test stands on: a real PostgreSQL and Valkey of the run's own, servers in this process, a fixed cast."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from server.core.migrate import migrate
from server.core.settings import Settings, read_settings
from server.demo import seed_demo
from server.up import embedded_postgres, embedded_valkey
from tests.house import Cast, House, open_house_of

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
        await seed_demo(self.settings_of(self.template))

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

    async def forget(self) -> None:
        """Empty Valkey: the demo's people are the same in each test, their budgets and failed logins must not be."""
        async with Redis.from_url(self.valkey.url) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.flushall()  # pyright: ignore[reportUnknownMemberType]

    def settings_of(self, database: str, **overrides: object) -> Settings:
        """Settings of a test on this database: its own Valkey, limits on, demo accounts."""
        values: dict[str, object] = {
            "environment": "test",
            "database_url": SecretStr(self.pg.url("amrutam_app", database)),
            "redis_url": SecretStr(self.valkey.url),
            "secret": SecretStr("test-secret-test-secret-test-secret"),
            "key_encryption_key": SecretStr("test-kek-test-kek-test-kek-test-kek-"),
            "sandbox_secret": SecretStr("test-sandbox-test-sandbox-test-sand"),
            "trusted_proxies": ("127.0.0.0/8",),
            "demo": True,
            "slots_days_ahead": 8,
            "demo_password": SecretStr(PASSWORD),
        }
        return read_settings({}, **{**values, **overrides})

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
        # Nothing of this run is wanted again: no checkpoint of a hundred databases.
        loop.run_until_complete(running.pg.kill())
        loop.run_until_complete(running.valkey.kill())
        loop.run_until_complete(running.stack.aclose())
        loop.close()
        # A hundred thousand files: on a busy disk that takes longer than a test may.
        subprocess.Popen(["rm", "-rf", str(folder)], start_new_session=True)


@pytest.fixture
async def settings(services: Services) -> Settings:
    """Settings of a test: a database of its own, with the demo's people and slots in it."""
    await services.forget()
    return services.settings_of(await services.new_database())


@pytest.fixture
def owner_url(services: Services, settings: Settings) -> str:
    """The test's database as its owner."""
    return services.pg.url(services.owner, urlsplit(settings.database_url.get_secret_value()).path.lstrip("/"))


@pytest.fixture
async def house(settings: Settings, owner_url: str) -> AsyncIterator[House]:
    """One server and one worker: what most tests talk to."""
    async with open_house_of(settings, owner_url) as opened:
        yield opened


@pytest.fixture
async def two_servers(settings: Settings, owner_url: str) -> AsyncIterator[House]:
    """Two servers and a worker."""
    async with open_house_of(settings, owner_url, servers=2) as opened:
        yield opened


@pytest.fixture
async def cast(house: House) -> Cast:
    """Asha (a patient), Dr. Rao (her doctor, free of charge), Dr. Sen (another, with a fee), Mira, Vik."""
    return await Cast.sign_in(house, PASSWORD)
