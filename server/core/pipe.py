"""Asking Redis much and often: one connection on which the whole process asks, each moment's commands in one write.

redis-py gives each pipeline a connection of its own, and each answer a timer: with a handful of commands a pipeline
that cost more than the commands did (measured 2026-11). Here answers come back in the order in which was asked, one
timer watches over the oldest, and a connection that is lost, or silent for too long, fails whoever waits for it. The
next to ask gets a new one. How a connection is opened and how answers are read stays redis-py's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import ConnectionError as NotConnected

from server.core.tasks import end_tasks
from server.core.valkey import REDIS_AWAY

CLOSED = "this process has closed its connection to Redis"
Arg = str | bytes | int
Command = tuple[Arg, ...]
_pack = cast("Callable[[Command], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]


class Pipe(Protocol):
    """Where commands go."""

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers in the order of the commands; one that was refused is its ResponseError.

        Raises one of REDIS_AWAY, and nobody knows then what was done.
        """
        ...

    async def aclose(self) -> None:
        """Let the connection go. Who still waits is told that it is lost, and so is who asks later."""
        ...


def pipe_to(redis: Redis) -> Pipe:
    """The way to the server, or to the cluster, that this client is for; to be closed before the client is."""
    return _ClusterPipe(redis) if isinstance(cast("object", redis), RedisCluster) else _OneConnection(redis)


@dataclass(slots=True)
class _Asked:
    packed: bytes
    count: int
    until: float
    """When patience ends, by the loop's clock."""
    all_told: asyncio.Future[list[Any]]
    answers: list[Any] = field(default_factory=list[Any])


class _OneConnection:
    def __init__(self, redis: Redis) -> None:
        self._pool: Any = redis.connection_pool
        self._patience = cast("float", self._pool.connection_kwargs["socket_timeout"])
        self._fresh: list[_Asked] = []
        self._sent: deque[_Asked] = deque()
        self._wanted = asyncio.Event()
        self._line: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        if not commands:
            return []
        if self._closed:
            raise NotConnected(CLOSED)
        loop = asyncio.get_running_loop()
        packed = [_pack(command) for command in commands]
        asked = _Asked(b"".join(packed), len(commands), loop.time() + self._patience, loop.create_future())
        self._fresh.append(asked)
        self._wanted.set()
        if self._line is None:
            self._line = loop.create_task(self._keep_line(), name="pipe")
        if self._watch is None:
            self._watch = loop.call_at(asked.until, self._look_at_the_oldest)
        return await asked.all_told

    async def aclose(self) -> None:
        self._closed = True
        self._fail(NotConnected(CLOSED))
        if self._watch is not None:
            self._watch.cancel()
        if self._line is not None:
            await end_tasks([self._line])

    async def _keep_line(self) -> None:
        """The life of one connection."""
        try:
            connection = await self._pool.get_connection()
            patience, connection.socket_timeout = connection.socket_timeout, None  # it is watched from here
            try:
                await self._use(connection)
            finally:
                await connection.disconnect(nowait=True)
                connection.socket_timeout = patience
                await self._pool.release(connection)
        except REDIS_AWAY as error:
            self._fail(error)
        finally:
            self._line = None
            if any(not asked.all_told.done() for asked in self._fresh):
                self._line = asyncio.get_running_loop().create_task(self._keep_line(), name="pipe")

    async def _use(self, connection: Any) -> None:
        reading = asyncio.create_task(self._read(connection))
        reading.add_done_callback(lambda _: self._wanted.set())
        try:
            while not reading.done():
                self._wanted.clear()
                if self._fresh:
                    fresh, self._fresh = self._fresh, []
                    self._sent.extend(fresh)
                    together = b"".join([asked.packed for asked in fresh])
                    await connection.send_packed_command(together, check_health=False)
                await self._wanted.wait()
            reading.result()  # raises why it ended
        finally:
            await end_tasks([reading])

    async def _read(self, connection: Any) -> None:
        # The connection's own way to its parser takes as long again as parsing: it minds a timer and raises refusals.
        parser = connection._parser
        while True:
            answer = await parser.read_response()
            if not self._sent:
                raise NotConnected("an answer came that nobody had asked for")
            asked = self._sent[0]
            asked.answers.append(answer)
            if len(asked.answers) == asked.count:
                self._sent.popleft()
                if not asked.all_told.done():
                    asked.all_told.set_result(asked.answers)

    def _look_at_the_oldest(self) -> None:
        self._watch = None
        loop = asyncio.get_running_loop()
        oldest = self._sent[0] if self._sent else self._fresh[0] if self._fresh else None
        if oldest is None:
            return
        if oldest.until > loop.time():
            self._watch = loop.call_at(oldest.until, self._look_at_the_oldest)
            return
        self._fail(TimeoutError(f"Redis did not answer within {self._patience:g} seconds"))
        if self._line is not None:
            self._line.cancel()

    def _fail(self, error: BaseException) -> None:
        for asked in (*self._sent, *self._fresh):
            if not asked.all_told.done():
                asked.all_told.set_exception(error)
        self._sent.clear()
        self._fresh.clear()


class _ClusterPipe:
    """On a cluster the client finds each command's node; those of one moment go as one pipeline of it."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._fresh: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = []
        self._waiting: set[asyncio.Future[list[Any]]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        if self._closed:
            raise NotConnected(CLOSED)
        loop = asyncio.get_running_loop()
        if not self._fresh:
            loop.call_soon(self._send)
        all_told: asyncio.Future[list[Any]] = loop.create_future()
        self._fresh.append((commands, all_told))
        self._waiting.add(all_told)
        all_told.add_done_callback(self._waiting.discard)
        return await all_told

    async def aclose(self) -> None:
        self._closed = True
        await end_tasks(self._sending)
        for all_told in self._waiting:
            if not all_told.done():
                all_told.set_exception(NotConnected(CLOSED))

    def _send(self) -> None:
        fresh, self._fresh = self._fresh, []
        if not self._closed:
            task = asyncio.create_task(self._carry(fresh))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _carry(self, fresh: Sequence[tuple[Sequence[Command], asyncio.Future[list[Any]]]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        try:
            for command in (command for commands, _ in fresh for command in commands):
                pipeline.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
            answers = iter(await pipeline.execute(raise_on_error=False))
        except Exception as error:  # whatever it is, it belongs to those who ask
            for _, all_told in fresh:
                if not all_told.done():
                    all_told.set_exception(error)
            return
        for commands, all_told in fresh:
            told = list(itertools.islice(answers, len(commands)))
            if not all_told.done():
                all_told.set_result(told)
