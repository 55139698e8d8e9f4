"""Running a step: its row locked, its work done and its row closed in one transaction, so that it happens once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from asyncpg import Record

from server.core.database import Database
from server.core.errors import Problem, Unavailable
from server.core.events import Event
from server.core.outbox import unpack_payload
from server.core.tasks import end_tasks
from server.core.tx import SYSTEM, Tx
from worker import queries
from worker.queries import LEASE_SECONDS, Delivery
from worker.registry import STEPS, Step

log = logging.getLogger(__name__)
FIRST_PAUSE_SECONDS = 2.0


class Runner:
    """Runs deliveries in this process, each in a transaction of its own."""

    def __init__(
        self, database: Database, house: Mapping[str, object], *, step_seconds: float, errand_seconds: float
    ) -> None:
        self._database = database
        self._step_seconds = step_seconds
        self._errand_seconds = errand_seconds
        self._steps = dict(STEPS)
        self._bound: dict[str, Callable[..., Awaitable[None]]] = {
            name: step.bound(house) for name, step in STEPS.items()
        }
        self.known = list(self._steps)

    async def execute(self, delivery: Delivery, event: Record | None = None) -> None:
        """Run one delivery, with its event where it is this worker's own already; a failure is counted on its row and
        never raised."""
        step = self._steps.get(delivery[1])
        if step is None:
            await self._leave_to_a_newer_worker(delivery)
            return
        try:
            if step.is_errand:
                await self._run_errand(step, delivery, event)
            else:
                async with asyncio.timeout(self._step_seconds):
                    await self._run_step(step, delivery)
        except Exception as error:
            await self._count_failure(delivery, error)

    async def _run_step(self, step: Step, delivery: Delivery) -> None:
        async def work(tx: Tx) -> None:
            event = await self._event_of(tx, delivery)
            if event is None:
                return
            await self._bound[step.name](tx, event)
            await queries.done(tx, delivery)

        await self._database.write(work, request_id=_request(delivery), source="worker")

    async def _run_errand(self, step: Step, delivery: Delivery, own: Record | None) -> None:
        event = self._unpacked(own or await self._database.together(lambda tx: queries.claim(tx, delivery)))
        if event is None:
            return
        run = self._database.run(
            actor=SYSTEM, request_id=_request(delivery), source="worker", key=f"{delivery[0]}:{step.name}"
        )
        renewing = asyncio.create_task(self._keep_lease(delivery))
        try:
            async with asyncio.timeout(self._errand_seconds):
                await self._bound[step.name](run, event)
        finally:
            await end_tasks([renewing])
        await self._database.together(lambda tx: queries.done(tx, delivery))

    async def _keep_lease(self, delivery: Delivery) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            with contextlib.suppress(Problem):
                await self._database.brief(lambda tx: queries.renew(tx, delivery))

    async def _leave_to_a_newer_worker(self, delivery: Delivery) -> None:
        """Only workers that know the step sweep it, so one of them sends it in a second, not when the lease ends."""
        with contextlib.suppress(Problem):
            await self._database.brief(lambda tx: queries.put_back(tx, delivery))

    async def _event_of(self, tx: Tx, delivery: Delivery) -> Event | None:
        return self._unpacked(await queries.lock_delivery(tx, delivery))

    def _unpacked(self, row: Record | None) -> Event | None:
        return None if row is None else unpack_payload(row["name"], row["payload"], self._database.cipher)

    async def _count_failure(self, delivery: Delivery, error: Exception) -> None:
        pause = FIRST_PAUSE_SECONDS * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, no secret
        what = error.code if isinstance(error, Problem) else type(error).__name__
        # What is away comes back; what is wrong stays wrong until someone looks.
        most = queries.MOST_TRIES_WHILE_AWAY if isinstance(error, Unavailable) else queries.MOST_TRIES

        async def count(tx: Tx) -> Any:
            return await queries.failed(tx, delivery, what, pause, most)

        try:
            row = await self._database.brief(count)
        except Problem:  # the database is away too: the lease runs out and the sweep tries again
            return
        if row is not None:
            level = logging.ERROR if row["parked_at"] is not None else logging.WARNING
            log.log(
                level,
                "a step is parked" if row["parked_at"] is not None else "a step failed",
                extra={"event_id": str(delivery[0]), "step": delivery[1], "tries": row["tries"], "error": what},
                exc_info=error if not isinstance(error, Problem) else None,
            )


def _request(delivery: Delivery) -> str:
    return f"step-{delivery[0]}"
