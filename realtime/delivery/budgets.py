"""What one person or address has on all server processes together: sockets, and messages.

Each process keeps the numbers of its own sockets in one Redis key with a lease: a process that dies takes its numbers
with it. With Redis away, or silent, each process counts alone. All that is asked and told during one trip to Redis goes
with the next one; messages are counted behind the caller's back, so no command ever waits.
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
        self._asked: dict[str, asyncio.Future[int]] = {}
        self._empty_until: dict[str, float] = {}
        self._is_told = False
        """Whether Redis has all our numbers but those in `_changed`."""
        self._begins_anew = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        neighbours.on_beat.append(self._after_beat)

    def start(self) -> None:
        """Begin to tell what changes here, and to ask."""
        self._task = asyncio.get_running_loop().create_task(self._trips(), name="budgets")

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
        mine, others = self._here(subject), len(self._neighbours.others)
        if mine > most:
            return False
        self.changed(subject)
        if not self.is_shared or mine * (others + 1) * UNASKED < most:
            return True
        if subject not in self._asked:
            self._asked[subject] = asyncio.get_running_loop().create_future()
        elsewhere = await asyncio.shield(self._asked[subject])
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

    async def _after_beat(self) -> None:
        """Renew the lease. Where the numbers are not, or not all, in Redis, tell all of them."""
        now = time.monotonic()
        self._empty_until = {user: until for user, until in self._empty_until.items() if until > now}
        if not self._neighbours.others:
            # Alone, there is nobody to tell; whoever comes later is told at the next beat.
            self._is_told = False
            return
        stands = bool(await cast("Any", self._redis).expire(self._key, self._bounds.beat_lasts_seconds))
        subjects = set(self._subjects())
        if self._is_told and (stands or not subjects):
            return
        # With the next trip, as everything: two that write at once could leave the older number.
        self._begins_anew = self._is_told = True
        self._changed = subjects
        self._wake.set()

    async def _trips(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            changed, self._changed = self._changed, set()
            spent, self._spent = self._spent, Counter()
            asked, self._asked = self._asked, {}
            elsewhere: dict[str, int] = {}
            try:
                if self._neighbours.breaker.may_ask():
                    elsewhere = await self._trip(list(changed), list(spent.items()), list(asked))
                else:
                    self._is_told = False
            except REDIS_AWAY:
                self._lost()
            except Exception:
                self._is_told = False
                log.exception("a trip for budgets tripped; it goes on")
            finally:
                for subject, answer in asked.items():
                    answer.set_result(elsewhere.get(subject, 0))

    async def _trip(self, changed: list[str], spent: list[tuple[str, int]], asked: list[str]) -> dict[str, int]:
        """Tell all this; how many sockets those who are asked for have on the other processes."""
        pipe = cast("Any", self._redis).pipeline(transaction=False)
        emission = round(self._rate.seconds * 1_000_000 / self._rate.count)
        for user, count in spent:
            pipe.eval(SPEND_ALL, 1, f"amrutam:messages:{{{user}}}", emission, self._rate.count, count)
        if self._begins_anew:
            self._begins_anew = False
            pipe.unlink(self._key)
        self._put(pipe, changed)
        others = list(self._neighbours.others) if asked else []
        for process in others:
            pipe.hmget(_sockets_key(process), asked)
        answers = cast("list[Any]", await pipe.execute())
        self._neighbours.breaker.worked()
        now = time.monotonic()
        for (user, _), wait in zip(spent, answers[: len(spent)], strict=True):
            if wait > 0:
                self._empty_until[user] = now + wait / 1e6
        elsewhere = Counter[str]()
        for counts in answers[len(answers) - len(others) :]:
            for subject, count in zip(asked, counts, strict=True):
                elsewhere[subject] += int(count or 0)
        return elsewhere

    def _put(self, pipe: Any, subjects: list[str]) -> None:
        for first in range(0, len(subjects), AT_ONCE):
            counts = {subject: self._here(subject) for subject in subjects[first : first + AT_ONCE]}
            some = {subject: count for subject, count in counts.items() if count}
            if some:
                pipe.hset(self._key, mapping=some)
                pipe.expire(self._key, self._bounds.beat_lasts_seconds)
            if len(some) < len(counts):
                pipe.hdel(self._key, *(subject for subject, count in counts.items() if not count))

    def _lost(self) -> None:
        """Redis did not take something: after the next beat that it answers it is told everything."""
        self._is_told = False
        if self._neighbours.breaker.failed():
            log.warning("Redis is away: each process counts its own sockets")


def _sockets_key(process: str) -> str:
    return f"amrutam:sockets:{process}"
