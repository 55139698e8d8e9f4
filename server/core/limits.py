"""Rate limits: GCRA in one Lua call on Redis' own time; in this process' memory while Redis is away (SECURITY L1-L4).

A budget of n in s seconds lets n through at once and one more each s/n seconds. A signed-in request reads its session
and spends its budget in one trip: the token carries a tag of its user, and both keys hash to that tag's slot.
"""

from __future__ import annotations

import functools
import ipaddress
import time
from collections import OrderedDict
from dataclasses import dataclass

from server.core.scripts import Scripts, script
from server.core.valkey import REDIS_AWAY

_GCRA = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local function spend(key, emission, burst)
  local tat = tonumber(redis.call('GET', key) or now)
  if tat < now then tat = now end
  local new = tat + emission
  local wait = new - emission * burst - now
  if wait > 0 then return {0, 0, wait, tat - now} end
  redis.call('SET', key, string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000))
  return {1, math.floor((burst * emission - (new - now)) / emission), 0, new - now}
end
"""
SPEND = script(_GCRA + "return spend(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))")
# The session first: an unknown token must not spend somebody's budget.
SESSION_AND_SPEND = script(
    _GCRA
    + """
local session = redis.call('HGET', KEYS[1], ARGV[3])
if not session then return {false} end
local spent = spend(KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2]))
return {session, spent[1], spent[2], spent[3], spent[4]}
"""
)
REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Budget:
    """A class of routes and what a user, and an address without a user, may spend on it."""

    name: str
    user: Rate
    address: Rate


ORDINARY = Budget("ordinary", user=Rate(300, 60), address=Rate(3000, 60))
BOOKING = Budget("booking", user=Rate(20, 60), address=Rate(60, 60))
LOGIN = Budget("login", user=Rate(60, 60), address=Rate(600, 300))
UPLOADING = Budget("uploading", user=Rate(30, 60), address=Rate(120, 60))
MAILING = Budget("mailing", user=Rate(10, 3600), address=Rate(120, 3600))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a request cost: whether it may pass, what is left, and the waits in seconds."""

    allowed: bool
    limit: Rate
    remaining: int
    retry_after_seconds: float
    reset_seconds: float


class Limits:
    """Spends budgets. `factor` multiplies what requests may spend (AMRUTAM_LIMIT_FACTOR)."""

    def __init__(self, scripts: Scripts, factor: float) -> None:
        self._scripts = scripts
        self._factor = factor
        self._memory: OrderedDict[str, float] = OrderedDict()

    def rate(self, budget: Budget, *, user: bool) -> Rate:
        """The rate after the factor."""
        return _after(budget.user if user else budget.address, self._factor)

    async def spend(self, key: str, rate: Rate) -> Spent:
        """Spend one of `rate` on `key`, in Redis or, while it is away, in memory."""
        try:
            allowed, remaining, wait, reset = await self._scripts.run(SPEND, [key], _args(rate))
        except REDIS_AWAY:
            return self._spend_here(key, rate)
        return Spent(bool(allowed), rate, int(remaining), int(wait) / 1e6, int(reset) / 1e6)

    async def session_and_spend(
        self, session_key: str, token: str, limit_key: str, rate: Rate
    ) -> tuple[bytes, Spent] | None:
        """A cached session and one of its user's budget, in one trip; None when the cache does not know the session.

        Raises one of REDIS_AWAY: the caller then asks PostgreSQL and spends in memory.
        """
        reply = await self._scripts.run(SESSION_AND_SPEND, [session_key, limit_key], [*_args(rate), token])
        if not reply or not reply[0]:
            return None
        session, allowed, remaining, wait, reset = reply
        return session, Spent(bool(allowed), rate, int(remaining), int(wait) / 1e6, int(reset) / 1e6)

    def _spend_here(self, key: str, rate: Rate) -> Spent:
        now = time.monotonic()
        emission = rate.seconds / rate.count
        arrival = max(self._memory.get(key, now), now) + emission
        wait = arrival - emission * rate.count - now
        if wait > 0:
            return Spent(
                allowed=False, limit=rate, remaining=0, retry_after_seconds=wait, reset_seconds=arrival - emission - now
            )
        self._memory[key] = arrival
        self._memory.move_to_end(key)
        while len(self._memory) > REMEMBERED:
            self._memory.popitem(last=False)
        left = int((rate.seconds - (arrival - now)) / emission)
        return Spent(allowed=True, limit=rate, remaining=left, retry_after_seconds=0, reset_seconds=arrival - now)


@functools.cache  # the budgets are a table
def _after(base: Rate, factor: float) -> Rate:
    return Rate(max(1, int(base.count * factor)), base.seconds)


def address_key(address: str) -> str:
    """What an address counts as: an IPv4 address itself, an IPv6 address by its /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)


def _args(rate: Rate) -> list[int]:
    return [max(1, round(rate.seconds * 1_000_000 / rate.count)), rate.count]
