"""Where the state of calls lives: a hash in Redis that all instances share, or this process's memory."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from redis.asyncio import Redis

from realtime.video.call import Call
from realtime.video.ports import CallStore, Kept, StoreAway
from server.core.ids import ConsultationId
from server.core.valkey import REDIS_AWAY

CALL_SECONDS = 4 * 3600
CALLS_IN_MEMORY = 1000

# A call changes only if it still is what was read: two servers that change it at once never lose one's change.
_SWAP = """
if (redis.call('HGET', KEYS[1], 'version') or '0') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'call', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
"""

T = TypeVar("T")


def _new_version() -> int:
    # Random and not counted: a call that was forgotten and begun again never repeats an old version.
    return secrets.randbits(52) + 1


def _key(consultation_id: ConsultationId) -> str:
    return f"call:{consultation_id}"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


class RedisCallStore:
    """Calls in Redis or Valkey: hash `call:{consultation_id}`, gone four hours after its last change."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def load(self, consultation_id: ConsultationId) -> Kept | None:
        version, call = await _reached(self._redis.hmget(_key(consultation_id), ["version", "call"]))
        if version is None or call is None:
            return None
        return Kept(int(version), Call.model_validate_json(call))

    async def swap(self, consultation_id: ConsultationId, version: int, call: Call) -> bool:
        """Replace the call if it still has `version`; 0 stands for no call."""
        arguments = [str(version), str(_new_version()), call.model_dump_json(), str(CALL_SECONDS)]
        return bool(await _reached(self._redis.eval(_SWAP, 1, _key(consultation_id), *arguments)))

    async def keep_description(self, consultation_id: ConsultationId, sender: str, receiver: str, text: str) -> None:
        """Keep the last description from one person to another."""
        await _reached(self._redis.hset(_key(consultation_id), f"said:{receiver}:{sender}", text))

    async def descriptions_for(self, consultation_id: ConsultationId, receiver: str) -> list[str]:
        """The last description that each of the others made for this one."""
        fields = cast("dict[Any, Any]", await _reached(self._redis.hgetall(_key(consultation_id))))
        prefix = f"said:{receiver}:"
        return [_text(value) for name, value in fields.items() if _text(name).startswith(prefix)]

    async def forget(self, consultation_id: ConsultationId) -> None:
        """Drop the call and what was said in it."""
        await _reached(self._redis.delete(_key(consultation_id)))


async def _reached(answer: Awaitable[T] | T) -> Any:
    """The answer of a redis-py command, whose types leave open whether it is awaited. Raises StoreAway."""
    try:
        return await cast("Awaitable[T]", answer)
    except REDIS_AWAY as error:
        raise StoreAway from error


@dataclass(slots=True)
class MemoryCallStore:
    """Calls of one process: enough where there is one server, or while Redis is away."""

    _calls: dict[ConsultationId, Kept] = field(default_factory=dict[ConsultationId, Kept])
    _said: dict[ConsultationId, dict[tuple[str, str], str]] = field(
        default_factory=dict[ConsultationId, dict[tuple[str, str], str]]
    )

    async def load(self, consultation_id: ConsultationId) -> Kept | None:
        return self._calls.get(consultation_id)

    async def swap(self, consultation_id: ConsultationId, version: int, call: Call) -> bool:
        """Replace the call if it still has `version`. Empty calls, and the stalest of too many, are forgotten."""
        kept = self._calls.get(consultation_id)
        if (kept.version if kept else 0) != version:
            return False
        self._calls.pop(consultation_id, None)
        self._calls[consultation_id] = Kept(_new_version(), call)
        if not call.people:
            await self.forget(consultation_id)
        elif len(self._calls) > CALLS_IN_MEMORY:
            await self.forget(next(iter(self._calls)))
        return True

    async def keep_description(self, consultation_id: ConsultationId, sender: str, receiver: str, text: str) -> None:
        """Keep the last description from one person to another."""
        self._said.setdefault(consultation_id, {})[(receiver, sender)] = text

    async def descriptions_for(self, consultation_id: ConsultationId, receiver: str) -> list[str]:
        """The last description that each of the others made for this one."""
        return [text for (to, _), text in self._said.get(consultation_id, {}).items() if to == receiver]

    async def forget(self, consultation_id: ConsultationId) -> None:
        """Drop the call and what was said in it."""
        self._calls.pop(consultation_id, None)
        self._said.pop(consultation_id, None)


@dataclass(frozen=True, slots=True)
class FallbackCallStore:
    """The shared store while it answers, else this process's memory: the two sides then meet if one server has both.

    When the shared store is back it knows nothing of such a call; the pages hear `not-in-call`, join with `resume`
    and bring their epoch with them.
    """

    shared: CallStore
    own: CallStore

    async def load(self, consultation_id: ConsultationId) -> Kept | None:
        try:
            return await self.shared.load(consultation_id)
        except StoreAway:
            return await self.own.load(consultation_id)

    async def swap(self, consultation_id: ConsultationId, version: int, call: Call) -> bool:
        """As the store that answers."""
        try:
            return await self.shared.swap(consultation_id, version, call)
        except StoreAway:
            return await self.own.swap(consultation_id, version, call)

    async def keep_description(self, consultation_id: ConsultationId, sender: str, receiver: str, text: str) -> None:
        """As the store that answers."""
        try:
            await self.shared.keep_description(consultation_id, sender, receiver, text)
        except StoreAway:
            await self.own.keep_description(consultation_id, sender, receiver, text)

    async def descriptions_for(self, consultation_id: ConsultationId, receiver: str) -> list[str]:
        """As the store that answers."""
        try:
            return await self.shared.descriptions_for(consultation_id, receiver)
        except StoreAway:
            return await self.own.descriptions_for(consultation_id, receiver)

    async def forget(self, consultation_id: ConsultationId) -> None:
        """Drop the call in both."""
        await self.own.forget(consultation_id)
        try:
            await self.shared.forget(consultation_id)
        except StoreAway:
            return  # it expires by itself
