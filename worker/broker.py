"""taskiq carries and spreads: a message is the name of a delivery, and the delivery's row is the truth.

The broker is a list: nothing to acknowledge, nothing that grows. A lost message is a row whose lease runs out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast
from uuid import UUID

from redis.asyncio import Redis
from taskiq import AsyncBroker
from taskiq.message import BrokerMessage

from server.core.settings import Settings
from server.core.valkey import REDIS_AWAY, connect_redis
from worker.queries import Delivery

log = logging.getLogger(__name__)
QUEUE = "amrutam:steps"
WAIT_SECONDS = 1
Execute = Callable[[Delivery], Awaitable[None]]


class ListBroker(AsyncBroker):
    """A list in Redis, one server or a cluster (a list is one key: one node has it)."""

    closing = False
    """Set when the worker ends. A cancellation that the client library swallows would be waited for without end: taskiq
    shields that wait."""

    def __init__(self, redis: Redis) -> None:
        super().__init__()
        self._redis = redis

    async def kick(self, message: BrokerMessage) -> None:
        """Put a message where the next free worker takes it. Raises one of REDIS_AWAY."""
        await self._redis.lpush(QUEUE, message.message)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Messages as they come, until closing; half a second of patience after each error, or the log runs hot."""
        while not self.closing:
            try:
                popped = await cast(
                    "Awaitable[tuple[bytes, bytes] | None]", self._redis.brpop([QUEUE], timeout=WAIT_SECONDS)
                )
            except REDIS_AWAY as error:
                log.debug("queue away", extra={"error": type(error).__name__})
                await asyncio.sleep(0.5)
                continue
            if popped is not None:
                yield popped[1]

    async def shutdown(self) -> None:
        """Let go of the connections."""
        await super().shutdown()
        await self._redis.aclose()


Send = Callable[[Delivery], Awaitable[object]]


def make_broker(settings: Settings, execute: Execute) -> tuple[ListBroker, Send]:
    """The broker, and how a delivery is sent through it to whichever worker is free."""
    broker = ListBroker(connect_redis(settings, timeout_seconds=WAIT_SECONDS + 2, most=20))

    async def run_step(event_id: str, step: str) -> None:
        await execute((UUID(event_id), step))

    task = broker.register_task(run_step, task_name="run-step")

    async def send(delivery: Delivery) -> object:
        return await task.kiq(str(delivery[0]), delivery[1])

    return broker, send
