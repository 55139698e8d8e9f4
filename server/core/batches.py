"""Statements that many callers of one process want at one moment travel as one, and their answers come back apart.

To begin and to end a statement costs PostgreSQL several times what one caller's rows in it cost. Nobody waits for
company: who comes alone goes alone; who comes while others are under way goes with all who came meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
from asyncpg import Record

UNDER_WAY = 2  # of one statement: while one is at work, the next is on its way
TOGETHER = 32
Fetch = Callable[[str, Sequence[Any]], Awaitable[list[Record]]]


def columns(rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Callers' rows as one array a parameter."""
    return [list(column) for column in zip(*rows, strict=True)]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement for many: its parameters are arrays, and `caller` in each of its rows, from 1, says whose it is.

    `fold` makes the parameters of what the callers gave. With `shared`, callers who ask the very same get one answer.
    """

    text: str
    fold: Callable[[Sequence[Any]], list[Any]] = columns
    shared: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    wish: Any
    answer: asyncio.Future[list[Record]]


class Batches:
    """Sends statements for one process."""

    def __init__(self, fetch: Fetch, away: tuple[type[BaseException], ...]) -> None:
        self._fetch = fetch
        self._away = away
        self._waiting: dict[Statement, list[_Call]] = defaultdict(list)
        self._under_way: Counter[Statement] = Counter()
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, statement: Statement, wish: Any) -> list[Record]:
        """The rows of this caller. Raises what PostgreSQL raises for this wish alone, or for a lost connection."""
        loop = asyncio.get_running_loop()
        call = _Call(wish, loop.create_future())
        waiting = self._waiting[statement]
        waiting.append(call)
        if len(waiting) == 1:
            loop.call_soon(self._send, statement)
        return await call.answer

    def _send(self, statement: Statement) -> None:
        waiting = self._waiting[statement]
        if not waiting or self._under_way[statement] >= UNDER_WAY:
            return  # whoever comes back takes them along
        calls, self._waiting[statement] = waiting[:TOGETHER], waiting[TOGETHER:]
        self._under_way[statement] += 1
        task = asyncio.get_running_loop().create_task(self._carry(statement, calls))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        self._send(statement)

    async def _carry(self, statement: Statement, calls: Sequence[_Call]) -> None:
        try:
            groups = _shared(calls) if statement.shared else [[call] for call in calls]
            await self._ask(statement, groups)
        finally:
            self._under_way[statement] -= 1
            self._send(statement)
            for call in calls:
                call.answer.cancel()  # without an answer: this process ends

    async def _ask(self, statement: Statement, groups: Sequence[Sequence[_Call]]) -> None:
        try:
            rows = await self._fetch(statement.text, statement.fold([group[0].wish for group in groups]))
        except Exception as error:
            if len(groups) > 1 and isinstance(error, asyncpg.PostgresError) and not isinstance(error, self._away):
                for group in groups:  # one of them is why, and the others shall not hear of it
                    await self._ask(statement, [group])
                return
            for call in (call for group in groups for call in group):
                if not call.answer.done():
                    call.answer.set_exception(error)
            return
        answers: list[list[Record]] = [[] for _ in groups]
        for row in rows:
            answers[cast(int, row["caller"]) - 1].append(row)
        for group, answer in zip(groups, answers, strict=True):
            for call in group:
                if not call.answer.done():
                    call.answer.set_result(answer)


def _shared(calls: Sequence[_Call]) -> list[list[_Call]]:
    groups: dict[Hashable, list[_Call]] = defaultdict(list)
    for call in calls:
        groups[call.wish].append(call)
    return list(groups.values())
