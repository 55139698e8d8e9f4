"""Lua scripts on Redis, sent by their digest; those that one process runs in one moment travel in one message."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from server.core.pipe import Arg, pipe_to


@dataclass(frozen=True, slots=True)
class Script:
    """A script by its text and the digest that Redis knows it by."""

    text: str
    digest: str


def script(text: str) -> Script:
    """Prepare a script. All keys of one call share a slot, by a tag in braces."""
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """Runs scripts for one process, until it is closed."""

    def __init__(self, redis: Redis) -> None:
        self.pipe = pipe_to(redis)

    async def aclose(self) -> None:
        """Let the connection go. Who still waits is told that it is lost."""
        await self.pipe.aclose()

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[Arg]) -> Any:
        """What the script answers. Raises one of REDIS_AWAY."""
        [answer] = await self.pipe.ask([("EVALSHA", script.digest, len(keys), *keys, *args)])
        if isinstance(answer, NoScriptError):  # a server that has just begun, or has become the primary
            [answer] = await self.pipe.ask([("EVAL", script.text, len(keys), *keys, *args)])
        if isinstance(answer, Exception):
            raise answer
        return answer
