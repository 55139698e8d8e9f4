"""Statements that many callers of one process want at one moment travel as one, and their answers come back apart.

To begin and to end a statement costs PostgreSQL several times what one caller's rows in it cost. Nobody waits for
company: who comes alone goes alone; who comes while others are under way goes with all who came meanwhile. And nobody
waits long for others: when a statement is held up, by a lock that somebody holds, the next one goes beside it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import asyncpg
from asyncpg import Record

TOGETHER = 32
PATIENCE_SECONDS = 0.15
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
        self._ahead: dict[Statement, asyncio.Task[None]] = {}
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
        if not waiting or statement in self._ahead:
            return  # whoever comes back takes them along
        calls, self._waiting[statement] = waiting[:TOGETHER], waiting[TOGETHER:]
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._carry(statement, calls))
        self._ahead[statement] = task
        self._sending.add(task)
        patience = loop.call_later(PATIENCE_SECONDS, self._let_others_go, statement, task)

        def ended(task: asyncio.Task[None]) -> None:
            patience.cancel()
            self._sending.discard(task)
            self._let_others_go(statement, task)

        task.add_done_callback(ended)

    def _let_others_go(self, statement: Statement, task: asyncio.Task[None]) -> None:
        if self._ahead.get(statement) is task:
            del self._ahead[statement]
            self._send(statement)

    async def _carry(self, statement: Statement, calls: Sequence[_Call]) -> None:
        try:
            groups = _shared(calls) if statement.shared else [[call] for call in calls]
            await self._ask(statement, groups)
        finally:
            for call in calls:
                call.answer.cancel()  # without an answer: this process ends

    async def _ask(self, statement: Statement, groups: Sequence[Sequence[_Call]]) -> None:
        try:
            rows = await self._fetch(statement.text, statement.fold([group[0].wish for group in groups]))
        except Exception as error:
            if len(groups) > 1 and isinstance(error, asyncpg.PostgresError) and not isinstance(error, self._away):
                half = len(groups) // 2  # one of them is why, and the others shall not hear of it
                await self._ask(statement, groups[:half])
                await self._ask(statement, groups[half:])
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
