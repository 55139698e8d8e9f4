"""Lists kept in Redis: what a commit made stale never comes back, and without Redis, or told nothing, they are true."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from server.core.cache import MOST_LISTS, Cache
from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.errors import NotFound
from server.core.ids import DoctorId, new_id
from server.core.publish import LISTS_LAST_MS, Publisher
from server.core.scripts import Scripts
from server.core.settings import Settings
from server.core.valkey import connect_redis
from server.doctors import DoctorChanged
from tests.conftest import Services
from tests.proxy import Proxy, proxy_to

DOCTOR = DoctorId(new_id(utc_now()))
CHANGED = DoctorChanged(doctor_id=DOCTOR)
KEY = CHANGED.stale_keys()[0]
LONG_MS = 60_000


@dataclass
class Process:
    """What a server process has of it."""

    redis: Redis
    publisher: Publisher
    cache: Cache


@contextlib.asynccontextmanager
async def process(settings: Settings, last_ms: int = LONG_MS) -> AsyncGenerator[Process]:
    """One, whose lists last long enough for a slow machine."""
    async with (
        connect_redis(settings) as redis,
        Publisher(redis, Cipher(settings)) as publisher,
        contextlib.aclosing(Scripts(redis)) as scripts,
    ):
        yield Process(redis, publisher, Cache(scripts, publisher, last_ms=last_ms))


@contextlib.asynccontextmanager
async def behind(services: Services, settings: Settings) -> AsyncGenerator[tuple[Proxy, Process]]:
    """A process whose way to Redis can be cut."""
    async with (
        proxy_to(services.valkey.url) as proxy,
        process(settings.model_copy(update={"redis_url": SecretStr(proxy.redis_url)}), LISTS_LAST_MS) as one,
    ):
        yield proxy, one


class Book:
    """What the lists are read from; counts who reads."""

    def __init__(self) -> None:
        self.content = b"first"
        self.reads = 0
        self.known: list[bytes | None] = []

    async def load(self, old: bytes | None) -> bytes:
        """What it holds now, whatever it was."""
        self.known.append(old)
        self.reads += 1
        return self.content

    def slowly(self) -> tuple[Callable[[bytes | None], Awaitable[bytes]], asyncio.Event, asyncio.Event]:
        """A reader that has read, and gives what it has read when it is told to."""
        has_read, go_on = asyncio.Event(), asyncio.Event()

        async def load(old: bytes | None) -> bytes:
            content = await self.load(old)
            has_read.set()
            await go_on.wait()
            return content

        return load, has_read, go_on


async def gone(redis: Redis) -> None:
    """Wait until Redis has nothing under the key."""
    async with asyncio.timeout(10):
        while await redis.exists(KEY):  # noqa: ASYNC110 - the thing is in Redis
            await asyncio.sleep(0.01)


async def test_a_list_is_read_once_and_then_kept_for_other_processes(settings: Settings) -> None:
    book = Book()
    async with process(settings) as one, process(settings) as other:
        assert await one.cache.read(KEY, "all", book.load) == b"first"
        assert await other.cache.read(KEY, "all", book.load) == b"first"
        assert book.reads == 1
        assert await other.cache.read(KEY, "another", book.load) == b"first"
        assert book.reads == 2


async def test_a_list_lives_from_before_it_was_read_and_no_reader_prolongs_it(settings: Settings) -> None:
    book = Book()
    load, has_read, go_on = book.slowly()
    async with process(settings, LISTS_LAST_MS) as one:
        slow = asyncio.create_task(one.cache.read(KEY, "all", load))
        await has_read.wait()
        drawn = await one.redis.pexpiretime(KEY)
        go_on.set()
        await slow
        assert await one.redis.pttl(KEY) <= LISTS_LAST_MS
        await one.cache.read(KEY, "all", book.load)
        await one.cache.read(KEY, "another", book.load)
        assert await one.redis.pexpiretime(KEY) in (drawn, -2)
        # Nobody tells Redis of this one: its time is over all the same.
        book.content = b"second"
        async with asyncio.timeout(10):
            while await one.cache.read(KEY, "all", book.load) == b"first":  # noqa: ASYNC110 - a time runs out in Redis
                await asyncio.sleep(0.02)
        assert await one.redis.pexpiretime(KEY) not in (drawn, -1)


async def test_an_event_drops_the_list_everywhere_and_at_once_in_its_own_process(settings: Settings) -> None:
    book = Book()
    async with process(settings) as one, process(settings) as other:
        await other.cache.read(KEY, "all", book.load)
        book.content = b"second"
        one.publisher.drop([CHANGED])
        assert await one.cache.read(KEY, "all", book.load) == b"second"
        await gone(other.redis)
        assert await other.cache.read(KEY, "all", book.load) == b"second"


async def test_what_was_read_before_a_commit_is_not_kept_after_it(settings: Settings) -> None:
    book = Book()
    load, has_read, go_on = book.slowly()
    async with process(settings) as reader, process(settings) as writer:
        slow = asyncio.create_task(reader.cache.read(KEY, "all", load))
        await has_read.wait()
        book.content = b"second"
        writer.publisher.drop([CHANGED])
        await gone(reader.redis)
        go_on.set()
        assert await slow == b"first"  # who asked before the commit
        assert not await reader.redis.hexists(KEY, "all")
        assert await reader.cache.read(KEY, "all", book.load) == b"second"


async def test_nor_is_it_kept_beside_what_a_later_reader_has_found(settings: Settings) -> None:
    book = Book()
    load, has_read, go_on = book.slowly()
    async with process(settings) as reader, process(settings) as writer:
        slow = asyncio.create_task(reader.cache.read(KEY, "all", load))
        await has_read.wait()
        book.content = b"second"
        writer.publisher.drop([CHANGED])
        await gone(reader.redis)
        # Asked after the commit: this one does not wait for the reader from before it.
        assert await reader.cache.read(KEY, "all", book.load) == b"second"
        go_on.set()
        assert await slow == b"first"
        assert await writer.cache.read(KEY, "all", book.load) == b"second"


async def test_what_a_process_remembers_counts_while_its_generation_stands(settings: Settings) -> None:
    book = Book()
    async with process(settings) as one, process(settings) as other:
        await one.cache.read(KEY, "all", book.load)
        await other.cache.read(KEY, "all", book.load)
        # Not fetched again: what Redis has is not looked at.
        await one.redis.hset(KEY, "all", "another")
        assert await other.cache.read(KEY, "all", book.load) == b"first"
        book.content = b"second"
        one.publisher.drop([CHANGED])
        await gone(one.redis)
        assert await one.cache.read(KEY, "all", book.load) == b"second"
        assert await other.cache.read(KEY, "all", book.load) == b"second"
        assert book.known == [None, b"first"]  # whoever reads anew is given what it has


async def test_a_rush_of_readers_is_one_question(settings: Settings) -> None:
    book = Book()
    load, has_read, go_on = book.slowly()
    async with process(settings) as one:
        rush = [asyncio.create_task(one.cache.read(KEY, "all", load)) for _ in range(50)]
        await has_read.wait()
        await asyncio.sleep(0.1)
        go_on.set()
        assert await asyncio.gather(*rush) == [b"first"] * 50
        assert book.reads == 1


async def test_who_waits_for_a_reader_that_fails_reads_alone(settings: Settings) -> None:
    book = Book()
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def fail(old: bytes | None) -> bytes:
        assert old is None
        has_read.set()
        await go_on.wait()
        raise NotFound

    async with process(settings) as one:
        first = asyncio.create_task(one.cache.read(KEY, "all", fail))
        await has_read.wait()
        second = asyncio.create_task(one.cache.read(KEY, "all", book.load))
        await asyncio.sleep(0.05)
        go_on.set()
        with pytest.raises(NotFound):
            await first
        assert await second == b"first"


async def test_a_list_that_is_no_longer_good_is_read_anew_and_replaced(settings: Settings) -> None:
    book = Book()
    async with process(settings) as one:
        await one.cache.read(KEY, "all", book.load)
        book.content = b"second"
        fresh = await one.cache.read(KEY, "all", book.load, lambda kept: kept != b"first")
        assert fresh == b"second"
        assert await one.cache.read(KEY, "all", book.load) == b"second"


async def test_who_asks_for_ever_new_lists_fills_no_memory(settings: Settings) -> None:
    book = Book()
    async with process(settings) as one:
        await one.cache.read(KEY, "all", book.load)
        await one.redis.hset(KEY, mapping={f"more {number}": b"" for number in range(MOST_LISTS)})
        full = await one.redis.hlen(KEY)
        assert await one.cache.read(KEY, "one more", book.load) == b"first"
        assert await one.redis.hlen(KEY) == full


async def test_emptied_redis_is_filled_anew(settings: Settings) -> None:
    book = Book()
    load, has_read, go_on = book.slowly()
    async with process(settings) as one:
        slow = asyncio.create_task(one.cache.read(KEY, "all", load))
        await has_read.wait()
        await one.redis.flushall()  # pyright: ignore[reportUnknownMemberType]
        go_on.set()
        assert await slow == b"first"
        assert not await one.redis.exists(KEY)
        assert await one.cache.read(KEY, "all", book.load) == b"first"
        assert book.reads == 2


async def test_with_redis_silent_or_gone_the_database_answers(services: Services, settings: Settings) -> None:
    book = Book()
    async with behind(services, settings) as (proxy, one):
        await one.cache.read(KEY, "all", book.load)
        book.content = b"second"
        with proxy.black_hole():
            assert await one.cache.read(KEY, "all", book.load) == b"second"
            # The next ones do not try for a while: a rush must not wait for a silence once each.
            async with asyncio.timeout(LISTS_LAST_MS / 1000):
                for _ in range(100):
                    assert await one.cache.read(KEY, "all", book.load) == b"second"


async def test_a_process_that_could_not_tell_redis_does_not_believe_it(services: Services, settings: Settings) -> None:
    book = Book()
    async with behind(services, settings) as (proxy, one), process(settings, LISTS_LAST_MS) as other:
        await other.cache.read(KEY, "all", book.load)
        book.content = b"second"
        with proxy.black_hole():
            one.publisher.drop([CHANGED])
            assert await one.cache.read(KEY, "all", book.load) == b"second"
        # Redis was never told; its second is over before this process asks it again.
        assert await one.cache.read(KEY, "all", book.load) == b"second"


async def test_switched_off_it_keeps_nothing(settings: Settings) -> None:
    book = Book()
    async with process(settings) as one:
        off = Cache(Scripts(one.redis), one.publisher, is_on=False)
        assert [await off.read(KEY, "all", book.load) for _ in range(3)] == [b"first"] * 3
        assert book.reads == 3
        assert not await one.redis.exists(KEY)
