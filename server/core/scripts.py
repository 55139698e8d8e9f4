"""Lua scripts on Redis: those that one process asks for in one moment travel in one message, and come back in one.

A message to another process costs more than what it asks. With many requests under way the event loop has several of
them ready at a time, and what they ask goes out when it has heard them all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from server.core.pipe import Command, pipe_to

Arg = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A script by its text and the digest that Redis knows it by."""

    text: str
    digest: str


def script(text: str) -> Script:
    """Prepare a script. All keys of one call share a slot, by a tag in braces."""
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class _Call:
    script: Script
    keys: Sequence[str]
    args: Sequence[Arg]
    answer: asyncio.Future[Any]


class Scripts:
    """Runs scripts for one process, until it is closed."""

    def __init__(self, redis: Redis) -> None:
        self._pipe = pipe_to(redis)
        self._waiting: list[_Call] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def aclose(self) -> None:
        """Let the connection go. Who still waits is told that it is lost."""
        await self._pipe.aclose()

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """What the script answers. Raises one of REDIS_AWAY."""
        loop = asyncio.get_running_loop()
        call = _Call(script, keys, args, loop.create_future())
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append(call)
        return await call.answer

    def _send(self) -> None:
        calls, self._waiting = self._waiting, []
        task = asyncio.create_task(self._ask(calls))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _ask(self, calls: Sequence[_Call]) -> None:
        try:
            unknown = await self._told("EVALSHA", calls)
            if unknown:  # a server that has just begun, or has become the primary
                await self._told("EVAL", unknown)
        except Exception as error:  # whatever it is, it belongs to those who ask
            for call in calls:
                if not call.answer.done():
                    call.answer.set_exception(error)
        finally:
            for call in calls:
                call.answer.cancel()  # without an answer: this process ends

    async def _told(self, command: str, calls: Sequence[_Call]) -> list[_Call]:
        """Ask for all of them, and hand on what came; those whose script is not known there."""
        asked: list[Command] = []
        for call in calls:
            text = call.script.text if command == "EVAL" else call.script.digest
            asked.append((command, text, len(call.keys), *call.keys, *call.args))
        unknown: list[_Call] = []
        for call, answer in zip(calls, await self._pipe.ask(asked), strict=True):
            if isinstance(answer, NoScriptError) and command != "EVAL":
                unknown.append(call)
            elif call.answer.done():  # nobody waits for it any more
                continue
            elif isinstance(answer, Exception):
                call.answer.set_exception(answer)
            else:
                call.answer.set_result(answer)
        return unknown
