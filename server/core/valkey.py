"""Redis or Valkey, whichever the setting names: one client a process, every wait bounded."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from server.core.settings import Settings

# What a lost or silent server looks like to us. Callers go on without it: slower or stricter, never wrong.
REDIS_AWAY = (RedisError, OSError, TimeoutError)


def connect_redis(settings: Settings, *, timeout_seconds: float | None = None) -> Redis:
    """A client whose calls fail after `timeout_seconds`; redis-py by default waits for ever on a black hole."""
    timeout = settings.redis_timeout_seconds if timeout_seconds is None else timeout_seconds
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs untyped
        settings.redis_url.get_secret_value(),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        max_connections=64,
    )
