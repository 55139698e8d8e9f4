"""The worker process: relay, sweep, taskiq receiver and ticks, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncGenerator

from asyncpg import Record
from redis.asyncio import Redis
from taskiq.api import run_receiver_task

from server.core.cipher import Cipher
from server.core.clock import shifted_clock
from server.core.database import Database
from server.core.errors import Problem
from server.core.logs import set_up_logs
from server.core.publish import OUTBOX_CHANNEL, Publisher
from server.core.settings import Settings
from server.core.subscriptions import Subscriptions
from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY, connect_redis
from server.payments import gateways_of
from worker import queries, sagas
from worker.broker import make_broker
from worker.jobs import ticks_of
from worker.queries import Delivery, Relayed
from worker.registry import STEPS
from worker.runner import Runner
from worker.ticks import keep_ticking

log = logging.getLogger(__name__)
MARKER = "amrutam:marker"
AT_ONCE = 16
HERE = 64  # those that begin in one moment ask the database in one statement
GATHER_SECONDS = 0.03
NICE = 10  # on a shared machine letters wait for bookings, not bookings for letters


class Worker:
    """One worker: begins at once what it can, sends the rest to whichever worker is free, runs what reaches it."""

    def __init__(self, settings: Settings, database: Database, redis: Redis, cipher: Cipher) -> None:
        self._settings = settings
        self._database = database
        self._redis = redis
        self._runner = Runner(
            database,
            {"cipher": cipher, "settings": settings, "gateways": gateways_of(settings)},
            step_seconds=settings.step_seconds,
            errand_seconds=settings.errand_seconds,
        )
        self._broker, self._hand_over = make_broker(settings, self._runner.execute)
        self._nudged = asyncio.Event()
        self._here = asyncio.Semaphore(HERE)
        self._running: set[asyncio.Task[None]] = set()
        self._redis_answers = True
        self._ticks = ticks_of(settings, cipher)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._announce()
        loops = [self._receive(), self._relay(), self._sweep(), self._hear_nudges()]
        loops += [keep_ticking(self._database, tick) for tick in self._ticks]
        tasks = [asyncio.create_task(loop) for loop in loops]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:  # none of them ends by itself: what one died of ends the worker
                task.result()
        finally:
            self._broker.closing = True
            await end_tasks([*tasks, *self._running])

    async def _announce(self) -> None:
        steps = {step.name: step.event.name for step in STEPS.values()}
        while True:
            try:
                await self._database.write(lambda tx: queries.announce_steps(tx, steps), source="worker")
                return
            except Problem:
                await asyncio.sleep(1)

    async def _receive(self) -> None:
        await run_receiver_task(self._broker, max_async_tasks=AT_ONCE, run_startup=True)

    async def _relay(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._nudged.wait()
                # What comes in these milliseconds is relayed in one statement: under a rush that is one for dozens.
                await asyncio.sleep(GATHER_SECONDS)
            self._nudged.clear()
            try:
                while relayed := await self._database.brief(
                    lambda tx: queries.relay(tx, HERE - len(self._running), self._runner.known)
                ):
                    await self._begin(relayed)
                    if len(relayed) < queries.RELAYED_AT_ONCE:
                        break  # what has come meanwhile is gathered with what comes next
            except Problem:
                log.warning("the relay waits for the database")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                if await self._redis_forgot():
                    await self._database.brief(queries.all_due)
                while deliveries := await self._database.brief(lambda tx: queries.sweep(tx, self._runner.known)):
                    await self._send(deliveries)
            except Problem:
                log.warning("the sweep waits for the database")

    async def _redis_forgot(self) -> bool:
        """Whether the messages in Redis cannot be counted on: it was emptied, or it has just gone away with them."""
        answered = self._redis_answers
        try:
            emptied = bool(await self._redis.set(MARKER, "1", nx=True))
        except REDIS_AWAY:
            self._redis_answers = False
            return answered
        self._redis_answers = True
        return emptied

    async def _begin(self, relayed: list[Relayed]) -> None:
        for one in relayed:
            if one.event is not None:
                await self._run_here(one.delivery, one.event)
        await self._send([one.delivery for one in relayed if one.event is None])

    async def _send(self, deliveries: list[Delivery]) -> None:
        """Begin here what there is room for, hand the rest to the queue; with Redis away this worker runs all itself.

        A message through Redis costs as much as a small step. And what a sweep found must not go round and round
        between workers that do not know it: who swept it knows it.
        """
        for delivery in deliveries:
            if delivery[1] in self._runner.known and not self._here.locked():
                await self._run_here(delivery)
                continue
            try:
                await self._hand_over(delivery)
            except Exception as error:
                log.debug("queue away; running here", extra={"error": type(error).__name__})
                await self._run_here(delivery)

    async def _run_here(self, delivery: Delivery, event: Record | None = None) -> None:
        """Begin a delivery in this process: a slow errand must not hold up the relay, nor the sweep."""
        await self._here.acquire()
        task = asyncio.create_task(self._runner.execute(delivery, event))
        self._running.add(task)
        task.add_done_callback(self._ran)

    def _ran(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._here.release()

    async def _hear_nudges(self) -> None:
        heard = Subscriptions(
            self._redis, message=lambda channel, data: self._nudged.set(), confirmed=lambda channel: self._nudged.set()
        )
        heard.want(OUTBOX_CHANNEL)
        try:
            heard.start()
            await asyncio.Event().wait()
        finally:
            await heard.stop()


@contextlib.asynccontextmanager
async def open_house(settings: Settings) -> AsyncGenerator[tuple[Database, Redis, Cipher]]:
    """Database, Redis and cipher of a process that has no HTTP."""
    cipher = Cipher(settings)
    async with (
        contextlib.aclosing(connect_redis(settings)) as redis,
        Publisher(redis, cipher) as publisher,
    ):
        database = await Database.connect(settings, shifted_clock(settings.clock_shift_seconds), cipher, publisher)
        try:
            yield database, redis, cipher
        finally:
            await database.close()


async def run_worker(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT; a step in the middle of its transaction is rolled back and due again."""
    set_up_logs(settings)
    os.nice(NICE)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_house(settings) as (database, redis, cipher):
        worker = asyncio.create_task(Worker(settings, database, redis, cipher).run())
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({worker, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)  # a second one ends it at once
        if worker.done():
            worker.result()
        await end_tasks([worker, stopped])


assert sagas  # imported for its registrations
