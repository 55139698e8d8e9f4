"""taskiq carries and spreads: a message is the name of a delivery, and the delivery's row is the truth.

taskiq-redis' list broker: nothing to acknowledge, nothing that grows. A lost message is a row whose lease runs out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from taskiq_redis import ListQueueBroker

from server.core.settings import Settings
from server.core.valkey import REDIS_AWAY
from worker.queries import Delivery

log = logging.getLogger(__name__)
QUEUE = "amrutam:steps"
Execute = Callable[[Delivery], Awaitable[None]]


class WaitingBroker(ListQueueBroker):
    """The list broker, with a pause between connection errors: with Redis away the original logs in a hot loop."""

    closing = False
    """Set when the worker ends. A cancellation that the client library swallows would be waited for without end: taskiq
    shields that wait."""

    async def listen(self) -> AsyncGenerator[bytes, None]:
        """Messages as they come, until closing; half a second of patience after each error."""
        while not self.closing:
            try:
                async with Redis(connection_pool=self.connection_pool) as redis:
                    while not self.closing:
                        popped = await redis.brpop([self.queue_name], timeout=1)
                        if popped is not None:
                            yield cast("bytes", popped[1])
            except REDIS_AWAY as error:
                log.debug("queue away", extra={"error": type(error).__name__})
                await asyncio.sleep(0.5)


Send = Callable[[Delivery], Awaitable[object]]


def make_broker(settings: Settings, execute: Execute) -> tuple[WaitingBroker, Send]:
    """The broker, and how a delivery is sent through it to whichever worker is free."""
    broker = WaitingBroker(
        settings.redis_url.get_secret_value(),
        queue_name=QUEUE,
        max_connection_pool_size=20,
        timeout=2,
        socket_timeout=3,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),  # the worker has its own way with a lost Redis
    )

    async def run_step(event_id: str, step: str) -> None:
        await execute((UUID(event_id), step))

    task = broker.register_task(run_step, task_name="run-step")

    async def send(delivery: Delivery) -> object:
        return await task.kiq(str(delivery[0]), delivery[1])

    return broker, send
