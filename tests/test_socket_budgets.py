"""What one person or one address may have on all servers together; on each alone while Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from redis.asyncio import Redis
from socketio.exceptions import ConnectionError as NotLetIn

from realtime import Realtime
from realtime.delivery.client import LiveClient, Refused
from realtime.delivery.limits import Bounds
from server.accounts import DatabaseSessions
from server.core.edge.identity import Identity
from server.core.limits import Limits
from server.core.scripts import Scripts
from server.core.settings import Settings
from server.core.valkey import connect_redis
from server.up.programs import valkey_program
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, open_house_of
from tests.processes import program, ready
from tests.proxy import proxy_to
from tests.valkeys import cluster_of

ROOM = "slots:00000000-0000-7000-8000-000000000000"
BOUNDS = Bounds()
MOST = BOUNDS.sockets_a_user


def live(client: Client, base: str) -> LiveClient:
    return LiveClient(base, token=client.token, headers={"X-Forwarded-For": client.address})


async def is_let_in(stack: contextlib.AsyncExitStack, client: Client, base: str) -> LiveClient | None:
    """One more socket of somebody, if the server takes it."""
    try:
        return await stack.enter_async_context(live(client, base))
    except NotLetIn:
        return None


async def until_shared(*servers: Realtime, others: int = 1) -> None:
    """Wait until each server counts together with so many others."""
    async with asyncio.timeout(20):
        for server in servers:
            while not (server.connections.shares_budgets and len(server.neighbours.others) == others):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def sockets_of(house: House, bounds: Bounds) -> AsyncGenerator[tuple[str, Realtime]]:
    """One more server of this house, for sockets alone, with bounds of its own."""
    settings, database, redis = house.settings, house.server.database, connect_redis(house.settings)
    sessions, scripts = DatabaseSessions(settings), Scripts(redis)
    identity = Identity(settings, database.clock, redis, Limits(scripts, 1), database, sessions)
    sockets = Realtime(
        settings,
        database=database,
        redis=redis,
        publisher=database.publisher,
        cipher=database.cipher,
        find_actor=identity.find,
        bounds=bounds,
    )
    app = web.Application()
    sockets.mount(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await sockets.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", sockets
    finally:
        await sockets.stop()
        await runner.cleanup()
        await scripts.aclose()
        await redis.aclose()


async def test_a_persons_sockets_are_counted_on_all_servers_together(two_servers: House) -> None:
    asha = await two_servers.log_in("patient1@example.org", PASSWORD)
    here, there = two_servers.bases
    await until_shared(*(server.realtime for server in two_servers.servers))
    async with contextlib.AsyncExitStack() as stack:
        opened = [await is_let_in(stack, asha, two_servers.bases[number % 2]) for number in range(MOST)]
        assert all(opened)
        assert await is_let_in(stack, asha, here) is None
        assert await is_let_in(stack, asha, there) is None
        vik = await two_servers.log_in("patient2@example.org", PASSWORD)
        assert await is_let_in(stack, vik, here) is not None  # it is one person's bound
        first = opened[0]
        assert first is not None
        await first.__aexit__()
        async with asyncio.timeout(5):  # the other server hears of it in a moment
            while await is_let_in(stack, asha, there) is None:  # noqa: ASYNC110 - its answer is what is waited for
                await asyncio.sleep(0.05)
        assert await is_let_in(stack, asha, here) is None


async def test_a_persons_messages_are_counted_on_all_servers_together(two_servers: House) -> None:
    asha = await two_servers.log_in("patient1@example.org", PASSWORD)
    await until_shared(*(server.realtime for server in two_servers.servers))
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(live(asha, base)) for base in (*two_servers.bases,) * 3]
        began, taken = time.monotonic(), 0
        refusal = None
        for number in range(len(sockets) * BOUNDS.events_a_socket):
            try:
                await sockets[number % len(sockets)].call("unsubscribe", room=ROOM)
            except Refused as refused:
                refusal = refused.code
                break
            taken += 1
        assert refusal == "rate-limited"
        more = (time.monotonic() - began + 1) * BOUNDS.events_a_user / BOUNDS.budget_seconds
        assert BOUNDS.events_a_user <= taken <= BOUNDS.events_a_user + more
        other = await two_servers.log_in("patient2@example.org", PASSWORD)
        async with live(other, two_servers.base) as untroubled:
            await untroubled.call("unsubscribe", room=ROOM)


async def test_an_addresss_sockets_before_a_login_are_counted_on_all_servers_together(house: House) -> None:
    few = Bounds(sockets_an_address=8, beat_seconds=0.2)
    async with sockets_of(house, few) as (here, first), sockets_of(house, few) as (there, second):
        await until_shared(first, second, others=2)
        nobody, asha = house.stranger(), await house.log_in("patient1@example.org", PASSWORD)
        asha.address = nobody.address
        async with contextlib.AsyncExitStack() as stack:
            for number in range(8):
                assert await is_let_in(stack, nobody, (here, there)[number % 2])
            assert await is_let_in(stack, nobody, here) is None
            assert await is_let_in(stack, nobody, there) is None
            assert await is_let_in(stack, house.stranger(), here)
            # A clinic is one address: who signs in is counted as a person.
            assert await is_let_in(stack, asha, here)
            assert await is_let_in(stack, asha, there)


async def test_numbers_are_told_again_to_a_redis_that_lost_them(two_servers: House) -> None:
    asha = await two_servers.log_in("patient1@example.org", PASSWORD)
    here, there = two_servers.bases
    await until_shared(*(server.realtime for server in two_servers.servers))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST):
            assert await is_let_in(stack, asha, here)
        assert await is_let_in(stack, asha, there) is None
        async with Redis.from_url(two_servers.settings.redis_url.get_secret_value()) as redis:  # pyright: ignore[reportUnknownMemberType]
            await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
        async with asyncio.timeout(15):
            while (extra := await is_let_in(stack, asha, there)) is not None:
                await extra.__aexit__()
                await asyncio.sleep(0.2)


async def test_a_silent_redis_leaves_each_server_to_itself_and_slows_no_command(
    services: Services, settings: Settings, owner_url: str
) -> None:
    async with proxy_to(services.valkey.url) as proxy:
        behind = settings.model_copy(update={"redis_url": SecretStr(proxy.redis_url)})
        async with open_house_of(behind, owner_url, servers=2) as house:
            cast = await Cast.sign_in(house, PASSWORD)
            here, there = house.bases
            await until_shared(*(server.realtime for server in house.servers))
            async with contextlib.AsyncExitStack() as stack:
                first = await is_let_in(stack, cast.asha, here)
                assert first is not None
                with proxy.black_hole():
                    longest = 0.0
                    for _ in range(BOUNDS.events_a_socket):
                        began = time.monotonic()
                        await first.call("unsubscribe", room=ROOM)
                        longest = max(longest, time.monotonic() - began)
                    assert longest < settings.redis_timeout_seconds
                    with pytest.raises(Refused):  # its own budget holds all the same
                        await first.call("unsubscribe", room=ROOM)
                    for _ in range(MOST - 1):
                        assert await is_let_in(stack, cast.asha, here)
                    assert await is_let_in(stack, cast.asha, here) is None
                    assert await is_let_in(stack, cast.asha, there)
                await until_shared(*(server.realtime for server in house.servers))
                assert await is_let_in(stack, cast.asha, there) is None


@pytest.mark.chaos
async def test_the_numbers_of_a_server_that_was_killed_are_gone_in_half_a_minute(house: House, tmp_path: Path) -> None:
    asha = await house.log_in("patient1@example.org", PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    there = f"http://127.0.0.1:{port}"
    settings = house.settings.model_copy(update={"port": port})
    async with program(settings, "serve", log=tmp_path / "server.log") as other, contextlib.AsyncExitStack() as stack:
        await ready(there, other)
        await until_shared(house.server.realtime)
        for number in range(MOST):
            assert await is_let_in(stack, asha, there), number
        assert await is_let_in(stack, asha, house.base) is None
        await other.kill()
        async with asyncio.timeout(30):
            while await is_let_in(stack, asha, house.base) is None:  # noqa: ASYNC110 - its answer is what is waited for
                await asyncio.sleep(0.5)


@pytest.mark.chaos
async def test_numbers_are_shared_on_a_cluster_too(
    services: Services, settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    async with cluster_of(valkey_program(services.valkey.folder), tmp_path) as cluster:
        of_cluster = settings.model_copy(update={"redis_url": SecretStr(cluster.url)})
        async with open_house_of(of_cluster, owner_url, servers=2) as house, contextlib.AsyncExitStack() as stack:
            asha = await house.log_in("patient1@example.org", PASSWORD)
            await until_shared(*(server.realtime for server in house.servers))
            sockets = [await is_let_in(stack, asha, house.bases[number % 2]) for number in range(MOST)]
            assert all(sockets)
            assert await is_let_in(stack, asha, house.base) is None
            for number in range(BOUNDS.events_a_user + 20):
                socket_of = sockets[number % MOST]
                assert socket_of is not None
                with contextlib.suppress(Refused):
                    await socket_of.call("unsubscribe", room=ROOM)
                    continue
                break
            else:
                pytest.fail("no budget ended")
