"""The connection to Redis on which a whole process asks: each answer is its asker's, whatever becomes of the others and
of the connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from server.core.pipe import Pipe, pipe_to
from server.core.settings import Settings
from server.core.valkey import REDIS_AWAY, connect_redis
from tests.proxy import Proxy, proxy_to


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    """A way to the test's Redis that can be cut and silenced."""
    async with proxy_to(settings.redis_url.get_secret_value()) as opened:
        yield opened


@pytest.fixture
async def redis(settings: Settings, proxy: Proxy) -> AsyncIterator[Redis]:
    """The test's Redis, along that way."""
    along = settings.model_copy(update={"redis_url": SecretStr(proxy.redis_url)})
    async with connect_redis(along) as opened:
        yield opened


@pytest.fixture
async def pipe(redis: Redis) -> AsyncIterator[Pipe]:
    """The pipe along it."""
    async with contextlib.aclosing(pipe_to(redis)) as opened:
        yield opened


async def held_up(pipe: Pipe, redis: Redis) -> asyncio.Task[list[object]]:
    """Somebody whose command is with Redis, which does not answer it."""
    waiting = asyncio.create_task(pipe.ask([("BLPOP", "nothing", 0)]))
    async with asyncio.timeout(5):
        while not (await redis.info("clients"))["blocked_clients"]:  # pyright: ignore[reportUnknownMemberType]
            pass  # asked again at once
    return waiting


async def echo(pipe: Pipe, number: int) -> None:
    """Ask for one's own words and get nobody else's."""
    words = [f"{number}/{part}".encode() * (1 + number % 700) for part in range(1 + number % 3)]
    assert await pipe.ask([("ECHO", word) for word in words]) == words


async def test_everybody_gets_their_own_answers(pipe: Pipe) -> None:
    for _ in range(5):
        await asyncio.gather(*(echo(pipe, number) for number in range(400)))
    assert await pipe.ask([]) == []


async def test_a_refusal_is_an_answer_like_any_other(pipe: Pipe) -> None:
    first, refused, last = await pipe.ask([("SET", "here", "text"), ("INCR", "here"), ("GET", "here")])
    assert (first, last) == (b"OK", b"text")
    assert isinstance(refused, ResponseError)


async def test_who_goes_leaves_the_answers_of_the_others_in_place(pipe: Pipe) -> None:
    asking = [asyncio.create_task(echo(pipe, number)) for number in range(60)]
    await asyncio.sleep(0)
    for gone in asking[::3]:
        gone.cancel()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError, type(None), type(None)] * 20


async def test_a_connection_that_is_lost_fails_who_waits_for_it_and_the_next_gets_another(
    pipe: Pipe, redis: Redis, proxy: Proxy
) -> None:
    await echo(pipe, 1)
    waiting = await held_up(pipe, redis)
    await proxy.cut()
    with pytest.raises(REDIS_AWAY):
        await waiting
    await asyncio.gather(*(echo(pipe, number) for number in range(20)))


async def test_a_way_that_is_silent_is_left_after_the_longest_wait(pipe: Pipe, proxy: Proxy) -> None:
    await echo(pipe, 1)
    with proxy.black_hole():
        for _ in range(2):  # on the old connection, and on one that begins in the hole
            told = await asyncio.gather(*(echo(pipe, number) for number in range(5)), return_exceptions=True)
            assert all(isinstance(each, REDIS_AWAY) for each in told)
    await asyncio.gather(*(echo(pipe, number) for number in range(20)))


async def test_nothing_listens_and_later_something_does(settings: Settings, proxy: Proxy) -> None:
    nowhere = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with connect_redis(nowhere) as redis, contextlib.aclosing(pipe_to(redis)) as pipe:
        with pytest.raises(REDIS_AWAY):
            await echo(pipe, 1)
        redis.connection_pool.connection_kwargs["port"] = proxy.port
        redis.connection_pool.reset()
        await echo(pipe, 2)


async def test_once_closed_nobody_waits_and_nothing_is_left(pipe: Pipe, redis: Redis) -> None:
    await echo(pipe, 1)
    waiting = await held_up(pipe, redis)
    await pipe.aclose()
    for late in (waiting, pipe.ask([("PING",)])):
        with pytest.raises(REDIS_AWAY):
            await late
    assert [task for task in asyncio.all_tasks() if task.get_name() == "pipe"] == []


async def test_the_same_on_the_way_to_a_cluster(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": SecretStr("redis+cluster://127.0.0.1:1")})
    async with contextlib.aclosing(connect_redis(nowhere)) as redis:
        pipe = pipe_to(redis)
        waiting = asyncio.create_task(pipe.ask([("PING",)]))
        await asyncio.sleep(0)
        await pipe.aclose()
        for late in (waiting, pipe.ask([("PING",)])):
            with pytest.raises(REDIS_AWAY):
                await late
