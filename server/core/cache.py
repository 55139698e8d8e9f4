"""Public lists kept in Redis for a moment, so that a rush of readers is one question to the database.

What is kept under one key is one hash: a generation, drawn by the first reader who finds nothing there, and a field for
each list. An event that makes it stale deletes the hash, generation and all. A reader who looked into the database
before that commit, and comes to keep what was found after it, finds its generation gone and keeps nothing. The hash
lives for `LISTS_LAST_MS` from the drawing of its generation, thus from before any of its lists was read: where Redis
is never told of an event, that is how long a list can outlive it. A process remembers what it has seen of a generation,
and fetches only whether that still stands. With Redis away the database answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from prometheus_client import Counter

from server.core.breaker import Breaker
from server.core.publish import LISTS_LAST_MS, Publisher
from server.core.scripts import Scripts, script
from server.core.valkey import REDIS_AWAY

READS = Counter("amrutam_list_reads_total", "Reads of public lists, by where the answer came from", ["source"])
AWAY_SECONDS = 1.0  # how long nobody asks a Redis that did not answer; then one does
MOST_LISTS = 500  # under one key: who asks for ever new ones asks the database
REMEMBERED = 200  # lists that a process need not fetch again while their generation stands
LOOK = script("""
local generation = redis.call('HGET', KEYS[1], 'generation')
if not generation then
  redis.call('HSET', KEYS[1], 'generation', ARGV[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {ARGV[2], false}
end
if generation == ARGV[4] then return {generation, false} end
return {generation, redis.call('HGET', KEYS[1], ARGV[1])}
""")
KEEP = script("""
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return 1
""")
# Is given what this process remembers of the list, of whatever age, so that it need not make anew what is the same.
Load = Callable[[bytes | None], Awaitable[bytes]]
IsGood = Callable[[bytes], bool]


@dataclass(frozen=True, slots=True)
class Found:
    """What a look found: the generation to keep by, and the list where there is one."""

    generation: bytes
    content: bytes | None


def always(content: bytes) -> bool:
    """For lists that only events make stale, and no passing of time."""
    del content
    return True


class Cache:
    """The lists as one process reads and keeps them. Switched off, it reads each from the database."""

    def __init__(
        self, scripts: Scripts, publisher: Publisher, *, is_on: bool = True, last_ms: int = LISTS_LAST_MS
    ) -> None:
        self._publisher = publisher
        self._is_on = is_on
        self._last_ms = last_ms
        self._scripts = scripts
        self._breaker = Breaker(AWAY_SECONDS)
        self._remembered: OrderedDict[tuple[str, str], Found] = OrderedDict()
        self._looking: dict[tuple[str, str], asyncio.Task[Found | None]] = {}
        self._loading: dict[tuple[str, str, bytes], asyncio.Future[bytes | None]] = {}

    async def read(self, key: str, field: str, load: Load, is_good: IsGood = always) -> bytes:
        """The list `field` of `key`: as it is kept, where it `is_good`, or as `load` gives it.

        Of this process' readers one asks Redis for all who come meanwhile, and of those who miss the same generation
        one loads. What `load` raises is raised, and nothing kept.
        """
        found = await self._find(key, field)
        known = self._remembered.get((key, field))
        old = known.content if known is not None else None
        if found is None:
            READS.labels("database").inc()
            return await load(old)
        if found.content is not None and is_good(found.content):
            READS.labels("redis").inc()
            return found.content
        READS.labels("database").inc()
        name = (key, field, found.generation)
        ahead = self._loading.get(name)
        if ahead is not None:
            loaded = await asyncio.shield(ahead)
            return loaded if loaded is not None and is_good(loaded) else await load(old)
        self._loading[name] = coming = asyncio.get_running_loop().create_future()
        try:
            content = await load(old)
            coming.set_result(content)
        finally:
            del self._loading[name]
            if not coming.done():
                coming.set_result(None)
        await self._put(key, field, found.generation, content)
        return content

    async def _find(self, key: str, field: str) -> Found | None:
        """None where Redis is away, or has not been told yet what a commit of this process made stale."""
        if not self._is_on or self._publisher.is_dropping(key):
            return None
        looking = self._looking.get((key, field))
        if looking is None:
            if not self._breaker.may_ask():
                return None
            looking = self._looking[key, field] = asyncio.create_task(self._ask(key, field))
            looking.add_done_callback(lambda _: self._looking.pop((key, field)))
        found = await asyncio.shield(looking)
        # Committed while Redis was asked, perhaps after it had answered.
        return None if self._publisher.is_dropping(key) else found

    async def _ask(self, key: str, field: str) -> Found | None:
        known = self._remembered.get((key, field))
        args = [field, secrets.token_bytes(8), self._last_ms, known.generation if known else b""]
        try:
            generation, content = cast("Sequence[Any]", await self._scripts.run(LOOK, [key], args))
        except REDIS_AWAY:
            self._breaker.failed()
            return None
        self._breaker.worked()
        if known is not None and known.generation == generation:
            return known
        found = Found(generation, content)
        self._remember(key, field, found)
        return found

    def _remember(self, key: str, field: str, found: Found) -> None:
        if found.content is None:
            return
        self._remembered[key, field] = found
        self._remembered.move_to_end((key, field))
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    async def _put(self, key: str, field: str, generation: bytes, content: bytes) -> None:
        self._remember(key, field, Found(generation, content))
        with contextlib.suppress(*REDIS_AWAY):
            await self._scripts.run(KEEP, [key], [generation, field, content, MOST_LISTS])
