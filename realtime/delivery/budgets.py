"""What one person or address has on all server processes together: sockets, and messages.

Each process keeps the numbers of its own sockets in one Redis key with a lease: a process that dies takes its numbers
with it. With Redis away, or silent, each process counts alone. Messages are counted behind the caller's back, in one
trip for all that came meanwhile: no command ever waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast

from redis.asyncio import Redis

from realtime.delivery.limits import Bounds
from realtime.delivery.neighbours import Neighbours
from server.core.limits import Rate
from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY

log = logging.getLogger(__name__)
AT_ONCE = 500
UNASKED = 10  # so small a part of a bound, on all processes together, is taken without asking: crowds need no trips
# GCRA for what was let pass already: it is always entered, but no debt beyond an empty budget is kept.
SPEND_ALL = """
local t = redis.call('TIME')
local now, emission, burst = t[1] * 1000000 + t[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + emission * ARGV[3]
tat = math.min(tat, now + emission * burst)
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
return math.floor(math.max(0, tat + emission - emission * burst - now))
"""


class SharedBudgets:
    """Counts across processes. `here` says how many sockets a subject has on this one, `subjects` who has any."""

    def __init__(
        self,
        redis: Redis,
        neighbours: Neighbours,
        bounds: Bounds,
        *,
        here: Callable[[str], int],
        subjects: Callable[[], Iterable[str]],
    ) -> None:
        self._redis = redis
        self._neighbours = neighbours
        self._bounds = bounds
        self._here = here
        self._subjects = subjects
        self._rate = Rate(bounds.events_a_user, bounds.budget_seconds)
        self._key = _sockets_key(neighbours.me)
        self._changed: set[str] = set()
        self._spent: Counter[str] = Counter()
        self._empty_until: dict[str, float] = {}
        self._is_told = False
        """Whether Redis has all our numbers but those in `_changed`."""
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        neighbours.on_beat.append(self._after_beat)

    def start(self) -> None:
        """Begin to tell what changes here."""
        self._task = asyncio.get_running_loop().create_task(self._tell_changes(), name="budgets")

    async def stop(self) -> None:
        """Stop, and take this process' numbers out."""
        if self._task is not None:
            await end_tasks([self._task])
        with contextlib.suppress(*REDIS_AWAY):
            await self._redis.unlink(self._key)

    @property
    def is_shared(self) -> bool:
        """Whether others are there, know our numbers, and are asked for theirs."""
        return self._is_told and bool(self._neighbours.others) and not self._neighbours.breaker.is_broken

    async def admits(self, subject: str, most: int) -> bool:
        """Whether `subject`, with the socket that `here` counts already, has at most `most` on all processes.

        Two that come at once for the last place may both be refused. Who is refused is uncounted by the caller, with
        `changed`.
        """
        mine, others = self._here(subject), list(self._neighbours.others)
        if mine > most:
            return False
        if not others or not self._is_told:
            return True
        if mine * (len(others) + 1) * UNASKED < most:
            self.changed(subject)
            return True
        if not self._neighbours.breaker.may_ask():
            return True
        try:
            elsewhere = await self._elsewhere(subject, mine, others)
        except REDIS_AWAY:
            self._lost()
            return self._here(subject) <= most
        return self._here(subject) + elsewhere <= most

    def changed(self, subject: str) -> None:
        """The number of sockets that a subject has here is another than before."""
        if self._is_told:
            self._changed.add(subject)
            self._wake.set()

    def spend(self, user: str) -> bool:
        """One message of a user; False while all processes together have let enough of theirs pass.

        What is under way when the last one passes still does: a round trip's worth.
        """
        if not self._neighbours.others:
            return True
        until = self._empty_until.get(user)
        if until is not None:
            if time.monotonic() < until:
                return False
            del self._empty_until[user]
        if not self._neighbours.breaker.is_broken:
            self._spent[user] += 1
            self._wake.set()
        return True

    async def _elsewhere(self, subject: str, mine: int, others: list[str]) -> int:
        pipe = self._pipe()
        self._put(pipe, subject, mine)
        for process in others:
            pipe.hget(_sockets_key(process), subject)
        answers = await pipe.execute()
        self._neighbours.breaker.worked()
        return sum(int(count) for count in answers[-len(others) :] if count is not None)

    async def _after_beat(self) -> None:
        """Renew the lease. Where the numbers are not, or not all, in Redis, tell all of them."""
        now = time.monotonic()
        self._empty_until = {user: until for user, until in self._empty_until.items() if until > now}
        if not self._neighbours.others:
            # Alone, there is nobody to tell; whoever comes later is told at the next beat.
            self._is_told = False
            return
        stands = bool(await cast("Any", self._redis).expire(self._key, self._bounds.beat_lasts_seconds))
        subjects = list(self._subjects())
        if self._is_told and (stands or not subjects):
            return
        self._is_told = True
        self._changed.clear()
        try:
            await self._redis.unlink(self._key)
            for first in range(0, len(subjects), AT_ONCE):
                pipe = self._pipe()
                for subject in subjects[first : first + AT_ONCE]:
                    self._put(pipe, subject, self._here(subject))
                await pipe.execute()
        except BaseException:
            self._is_told = False
            raise

    async def _tell_changes(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, set()
            spent, self._spent = self._spent, Counter()
            if not self._neighbours.breaker.may_ask():
                self._is_told = False
                continue
            try:
                await self._tell(list(changed), list(spent.items()))
            except REDIS_AWAY:
                self._lost()
            except Exception:
                log.exception("budgets could not be told; it goes on")

    async def _tell(self, changed: list[str], spent: list[tuple[str, int]]) -> None:
        pipe = self._pipe()
        for user, count in spent:
            emission = round(self._rate.seconds * 1_000_000 / self._rate.count)
            pipe.eval(SPEND_ALL, 1, f"amrutam:messages:{{{user}}}", emission, self._rate.count, count)
        for subject in changed:
            self._put(pipe, subject, self._here(subject))
        answers = await pipe.execute()
        self._neighbours.breaker.worked()
        now = time.monotonic()
        for (user, _), wait in zip(spent, answers[: len(spent)], strict=True):
            if wait > 0:
                self._empty_until[user] = now + wait / 1e6

    def _put(self, pipe: Any, subject: str, count: int) -> None:
        if count:
            pipe.hset(self._key, subject, count)
            pipe.expire(self._key, self._bounds.beat_lasts_seconds)
        else:
            pipe.hdel(self._key, subject)

    def _pipe(self) -> Any:
        return cast("Any", self._redis).pipeline(transaction=False)

    def _lost(self) -> None:
        """Redis did not take something: after the next beat that it answers it is told everything."""
        self._is_told = False
        if self._neighbours.breaker.failed():
            log.warning("Redis is away: each process counts its own sockets")


def _sockets_key(process: str) -> str:
    return f"amrutam:sockets:{process}"
