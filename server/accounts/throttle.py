"""The login throttle: by account first, by address as a wide net; failures count, people do not (SECURITY A8, B4).

Kept in Redis on its own time, in this process' memory while Redis is away. No account is ever locked for good:
from the fifth failure on, each next try waits 2, 4, 8 ... seconds, at most 15 minutes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence

from redis.asyncio import Redis

from server.core.errors import TooMany
from server.core.limits import address_key
from server.core.valkey import REDIS_AWAY

FREE_FAILURES = 5
LONGEST_SECONDS = 900
FORGOTTEN_SECONDS = 86_400
ADDRESS_FAILURES = 300
ADDRESS_SECONDS = 300
CODE_TRIES = ((5, 900), (10, 86_400))
REMEMBERED = 20_000

# Account and address are two keys of two slots, on a cluster of two nodes: a script for each.
LOOK = """
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return redis.call('PTTL', KEYS[1]) end
return 0
"""
COUNT = "if redis.call('INCR', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end"
# Below five failures a try only looks. From there on a try takes its turn before the password is checked, so that
# a crowd of guesses sent at once gets one guess.
BEGIN = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local held = redis.call('HMGET', KEYS[1], 'failures', 'until')
local failures = tonumber(held[1] or '0')
if failures < tonumber(ARGV[1]) then return 0 end
local open = tonumber(held[2] or '0')
if now < open then return open - now end
local wait = math.min(2 ^ (failures - tonumber(ARGV[1]) + 1), tonumber(ARGV[2])) * 1000
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + wait))
return 0
"""
FAILED = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
if failures >= tonumber(ARGV[1]) then
    local wait = math.min(2 ^ (failures - tonumber(ARGV[1]) + 1), tonumber(ARGV[2])) * 1000
    redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + wait))
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
"""
# Takes one of so many tries in so many seconds; a refused try costs nothing.
TAKE = """
for i = 1, #KEYS do
    if tonumber(redis.call('GET', KEYS[i]) or '0') >= tonumber(ARGV[2 * i - 1]) then
        return redis.call('PTTL', KEYS[i])
    end
end
for i = 1, #KEYS do
    if redis.call('INCR', KEYS[i]) == 1 then redis.call('EXPIRE', KEYS[i], ARGV[2 * i]) end
end
return 0
"""


class TooManyTries(TooMany):
    """Too many wrong passwords or codes for this account or from this address; Retry-After says how long to wait."""

    code = "too-many-tries"
    title = "Too many tries. Wait a moment."


class Throttle:
    """Counts failures of logins and codes."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._look = redis.register_script(LOOK)
        self._count_one = redis.register_script(COUNT)
        self._begin = redis.register_script(BEGIN)
        self._failed = redis.register_script(FAILED)
        self._take = redis.register_script(TAKE)
        self._memory: OrderedDict[str, tuple[int, float]] = OrderedDict()

    async def begin(self, account: str, address: str) -> None:
        """Before a password is checked. Raises TooManyTries."""
        account_key, address_key_ = _keys(account, address)
        try:
            wait = int(await self._look(keys=[address_key_], args=[ADDRESS_FAILURES]))
            if wait <= 0:
                wait = int(await self._begin(keys=[account_key], args=[FREE_FAILURES, LONGEST_SECONDS]))
            wait_seconds = wait / 1000
        except REDIS_AWAY:
            wait_seconds = self._begin_here(account_key, address_key_)
        _refuse(wait_seconds)

    async def failed(self, account: str, address: str) -> None:
        """After a wrong password."""
        account_key, address_key_ = _keys(account, address)
        try:
            await self._failed(keys=[account_key], args=[FREE_FAILURES, LONGEST_SECONDS, FORGOTTEN_SECONDS])
            await self._count_one(keys=[address_key_], args=[ADDRESS_SECONDS])
        except REDIS_AWAY:
            failures = self._count(account_key) + 1
            self._remember(account_key, failures, _delay(failures) if failures >= FREE_FAILURES else FORGOTTEN_SECONDS)
            before = self._count(address_key_) if self._left(address_key_) > 0 else 0
            self._remember(address_key_, before + 1, ADDRESS_SECONDS)

    async def passed(self, account: str) -> None:
        """After the right password: the account's failures are forgotten, the address' are not."""
        self._memory.pop(_account_key(account), None)
        try:
            await self._redis.unlink(_account_key(account))
        except REDIS_AWAY:
            return

    async def take_code(self, account: str) -> None:
        """Before a code is checked: five tries in 15 minutes, ten a day. Raises TooManyTries."""
        keys = _code_keys(account)
        try:
            wait = await self._take(keys=keys, args=[part for rate in CODE_TRIES for part in rate])
            wait_seconds = int(wait) / 1000
        except REDIS_AWAY:
            wait_seconds = self._take_here(keys)
        _refuse(wait_seconds)

    async def code_passed(self, account: str) -> None:
        """After a right code: tries are forgotten."""
        keys = _code_keys(account)
        for key in keys:
            self._memory.pop(key, None)
        try:
            await self._redis.unlink(*keys)
        except REDIS_AWAY:
            return

    def _begin_here(self, account_key: str, address_key_: str) -> float:
        if self._count(address_key_) >= ADDRESS_FAILURES:
            return self._left(address_key_)
        failures = self._count(account_key)
        if failures < FREE_FAILURES:
            return 0
        wait = self._left(account_key)
        if wait <= 0:
            self._remember(account_key, failures, _delay(failures))
        return wait

    def _take_here(self, keys: Sequence[str]) -> float:
        for key, (most, _) in zip(keys, CODE_TRIES, strict=True):
            if self._count(key) >= most and self._left(key) > 0:
                return self._left(key)
        for key, (_, seconds) in zip(keys, CODE_TRIES, strict=True):
            fresh = self._left(key) <= 0
            count, until = (1, time.monotonic() + seconds) if fresh else (self._count(key) + 1, self._memory[key][1])
            self._memory[key] = (count, until)
        return 0

    def _count(self, key: str) -> int:
        return self._memory.get(key, (0, 0.0))[0]

    def _left(self, key: str) -> float:
        return self._memory.get(key, (0, 0.0))[1] - time.monotonic()

    def _remember(self, key: str, count: int, seconds: float) -> None:
        self._memory[key] = (count, time.monotonic() + seconds)
        self._memory.move_to_end(key)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)


def _keys(account: str, address: str) -> list[str]:
    return [_account_key(account), f"amrutam:t:address:{address_key(address)}"]


def _account_key(account: str) -> str:
    return f"amrutam:t:{{{account}}}"


def _code_keys(account: str) -> list[str]:
    return [f"amrutam:t:{{{account}}}:codes:{seconds}" for _, seconds in CODE_TRIES]


def _delay(failures: int) -> float:
    return float(min(2 ** min(failures - FREE_FAILURES + 1, 20), LONGEST_SECONDS))


def _refuse(wait_seconds: float) -> None:
    if wait_seconds > 0:
        raise TooManyTries(retry_after_seconds=max(1, round(wait_seconds + 0.5)))
