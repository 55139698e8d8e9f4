"""The real-time side of a server process: sockets, feeds, rooms and presence put together."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import partial
from typing import Any

from aiohttp import web
from redis.asyncio import Redis

from realtime.asyncapi import document
from realtime.delivery.channels import Channels
from realtime.delivery.commands import Commands, command
from realtime.delivery.connections import Connections, FindActor, Socket
from realtime.delivery.fanout import Fanout
from realtime.delivery.feed import Feeds
from realtime.delivery.limits import Bounds, bounds_of
from realtime.delivery.live_room import Rooms
from realtime.delivery.neighbours import Neighbours
from realtime.delivery.presence import PresenceBook
from realtime.delivery.queries import ended_sessions
from realtime.delivery.socketio_server import SocketServer
from realtime.rooms import BoundRooms, figures_of
from server.accounts import SessionEnded, touch_session
from server.core.cipher import Cipher
from server.core.database import Database
from server.core.errors import Problem
from server.core.ids import SessionId
from server.core.publish import Publisher
from server.core.routes import public
from server.core.settings import Settings
from server.core.tasks import end_tasks
from server.core.tx import Role, Tx

log = logging.getLogger(__name__)


class Realtime:
    """Socket.IO at /socket.io/ of one process. `find_actor` says whose a session's token is."""

    def __init__(
        self,
        settings: Settings,
        *,
        database: Database,
        redis: Redis,
        publisher: Publisher,
        cipher: Cipher,
        find_actor: FindActor,
        bounds: Bounds | None = None,
    ) -> None:
        bounds = bounds_of(settings) if bounds is None else bounds
        self._settings = settings
        self._database = database
        self._bounds = bounds
        clock = database.clock
        self.neighbours = Neighbours(redis, bounds)
        self.connections = Connections(settings, clock, find_actor, redis, self.neighbours, bounds)
        self.neighbours.figures = partial(figures_of, self.connections)
        self._fanout = Fanout(clock, bounds)
        self.feeds = Feeds(database, cipher, self._fanout, bounds)
        self.feeds.channels = self.channels = Channels(redis, cipher, self.feeds)
        self.feeds.on_control = self._control
        bound = BoundRooms(settings, cipher, database, redis, publisher, self.feeds, self.neighbours)
        self.rooms = Rooms(database, self.feeds, self._fanout, self.connections, bound.rooms, bounds)
        self.presence = PresenceBook(redis, publisher, self.feeds, self.rooms, clock, bounds)
        self.presence.on_away = self._look_after_the_deserted
        table = [
            command("subscribe", self.rooms.subscribe, access=public),
            command("unsubscribe", self.rooms.unsubscribe, access=public),
            *(line for room in bound.rooms for line in room.commands),
            *bound.commands,
        ]
        self.commands = Commands(database, self.connections, table)
        self.connections.on_call = self.commands.call
        self._bound = bound
        self.operations = bound.operations
        self.connections.on_closed += [self.rooms.closed, self._forget]
        self.server = SocketServer(self.connections, settings.origins, bounds)
        self._tasks: set[asyncio.Task[Any]] = set()

    def mount(self, app: web.Application) -> None:
        """Answer sockets on this application."""
        self.server.mount(app)

    async def start(self) -> None:
        """Begin to listen, to sweep and to renew."""
        self.channels.start()
        self.feeds.start()
        self.presence.start()
        self.neighbours.start()
        self.connections.start()
        self.operations.start()
        self._spawn(self._watch_sessions())

    async def drain(self) -> None:
        """Say goodbye: no new sockets and calls, what is under way ends, `bye` with a spread-out return, close.

        Over within fifteen seconds, whatever clients do.
        """
        self.server.accepting = False
        self.connections.accepting = False
        await self.commands.settle(3)
        for wire in self.server.wires:
            after_ms = secrets.randbelow(self._bounds.bye_within_ms)
            self.connections.dismiss(wire, "shutdown", retry=True, after_ms=after_ms)
        try:
            async with asyncio.timeout(self._bounds.drain_seconds - 4):
                await self.server.emptied()
        except TimeoutError:
            for wire in self.server.wires:
                wire.cut()

    async def stop(self) -> None:
        """End every task. Sockets that are still open are closed by the HTTP server."""
        await end_tasks(self._tasks)
        await self.operations.stop()
        await self.presence.stop()
        await self.feeds.stop()
        await self.channels.stop()
        await self.server.shutdown()
        await self.neighbours.stop()
        await self.connections.stop()

    def document(self) -> dict[str, Any]:
        """The AsyncAPI document of what this server speaks."""
        return document(self._settings, self.commands.table, list(self.rooms.kinds.values()))

    def _control(self, name: str, data: bytes) -> None:
        if name == SessionEnded.name:
            event = SessionEnded.model_validate_json(data)
            self.connections.end_sessions(event.user_id, event.session_id, besides=event.except_session_id)

    async def _watch_sessions(self) -> None:
        """The net under the control channel: every few seconds the database says which sessions have ended."""
        touch_due = time.monotonic() + self._bounds.touch_seconds
        while True:
            await asyncio.sleep(self._bounds.sessions_seconds)
            watched = self.connections.sessions()
            if not watched:
                continue
            try:
                if time.monotonic() >= touch_due:
                    touch_due = time.monotonic() + self._bounds.touch_seconds
                    used = list(self.connections.sessions(with_input_within=self._bounds.input_counts_seconds))
                    await self._database.write(partial(_touch, used), source="socket")
                for session_id in await self._database.read(partial(_ended, watched), source="sweep"):
                    self.connections.end_session(session_id)
            except Problem as problem:
                log.warning("sessions cannot be checked", extra={"code": problem.code})
            except Exception:
                log.exception("the look at sessions tripped; it goes on")

    async def _look_after_the_deserted(self, away: list[tuple[str, str]]) -> None:
        await self._bound.put_back_the_deserted(away, self._bounds.grace_seconds, self.presence.is_present)

    def _forget(self, socket: Socket) -> None:
        self._spawn(self._bound.socket_closed(socket))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _touch(sessions: list[SessionId], tx: Tx) -> None:
    """An open page with a live socket and input counts as use of its session."""
    for session_id in sorted(sessions):
        await touch_session(tx, session_id)


async def _ended(sessions: dict[SessionId, Role | None], tx: Tx) -> list[SessionId]:
    return await ended_sessions(tx, sessions)
