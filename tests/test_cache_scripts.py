"""Scripts on Redis: those of one moment travel together, and each caller gets its own answer, or its own failure."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from server.core.scripts import Scripts, script
from server.core.settings import Settings
from server.core.valkey import connect_redis

ADD = script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
BREAK = script("return redis.error_reply('ERR broken')")


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    """The test's own Redis."""
    async with connect_redis(settings) as opened:
        yield opened


@pytest.fixture
async def scripts(redis: Redis) -> AsyncIterator[Scripts]:
    """What runs scripts there."""
    async with contextlib.aclosing(Scripts(redis)) as opened:
        yield opened


async def messages(redis: Redis) -> int:
    """How many messages with commands Redis has read."""
    told = await redis.info("stats")  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs untyped
    return int(told["total_reads_processed"])


async def test_those_of_one_moment_are_one_message(redis: Redis, scripts: Scripts) -> None:
    await scripts.run(ADD, ["first"], [1])
    before = await messages(redis)
    answers = await asyncio.gather(*(scripts.run(ADD, ["sum"], [number]) for number in range(1, 41)))
    assert answers == [sum(range(1, number + 1)) for number in range(1, 41)]
    assert await messages(redis) - before < 10


async def test_a_script_that_redis_has_forgotten_is_sent_again(redis: Redis, scripts: Scripts) -> None:
    for _ in range(3):
        await redis.script_flush()
        assert await scripts.run(ADD, ["sum"], [1])
    assert int(await redis.get("sum") or 0) == 3


async def test_one_that_fails_fails_alone(scripts: Scripts) -> None:
    one, broken, other = await asyncio.gather(
        scripts.run(ADD, ["sum"], [1]),
        scripts.run(BREAK, ["sum"], []),
        scripts.run(ADD, ["sum"], [1]),
        return_exceptions=True,
    )
    assert (one, other) == (1, 2)
    assert isinstance(broken, ResponseError)


async def test_who_no_longer_waits_holds_nobody_up(scripts: Scripts) -> None:
    gone = asyncio.create_task(scripts.run(ADD, ["sum"], [1]))
    stays = asyncio.create_task(scripts.run(ADD, ["sum"], [1]))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays in (1, 2)
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_with_redis_away_everybody_is_told(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with connect_redis(nowhere) as redis, contextlib.aclosing(Scripts(redis)) as scripts:
        told = await asyncio.gather(
            *(scripts.run(ADD, ["sum"], [1]) for _ in range(5)),
            return_exceptions=True,
        )
    assert all(isinstance(answer, RedisError | OSError) for answer in told)
    assert len(told) == 5
