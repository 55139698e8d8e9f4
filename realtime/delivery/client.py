"""A client for programs and tests: watches rooms, keeps their numbers, asks again after a gap, drops repeats."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import socketio
from socketio.exceptions import SocketIOError

from server.core.errors import Unavailable
from server.core.tasks import end_tasks

RETRY_SECONDS = 1.0


class Refused(Exception):
    """A call was answered with a problem."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("title"))
        self.problem = dict(problem)
        self.code = str(problem.get("type", "")).removeprefix("/problems/")


@dataclass(slots=True)
class Watched:
    """A room as the client knows it: its number, the snapshot it began with, and every event since, once, in order."""

    room: str
    offset: int | None = None
    snapshot: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    events: list[dict[str, Any]] = field(default_factory=lambda: list[dict[str, Any]]())
    signals: list[dict[str, Any]] = field(default_factory=lambda: list[dict[str, Any]]())
    early: list[dict[str, Any]] = field(default_factory=lambda: list[dict[str, Any]]())
    asking: asyncio.Task[None] | None = None


class LiveClient:
    """One connection with any number of rooms. It comes back by itself, and then asks for what it missed."""

    def __init__(self, url: str, *, token: str = "", headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._auth = {"token": token} if token else None
        self._headers = dict(headers or {})
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self.rooms: dict[str, Watched] = {}
        self.byes: list[dict[str, Any]] = []
        self.resyncs: list[dict[str, Any]] = []
        make = cast("Any", socketio.AsyncClient)
        client: Any = make(reconnection_delay=0.2, reconnection_delay_max=2, logger=False)
        client.on("event", self._event)
        client.on("resync", self._resync)
        client.on("bye", self._bye)
        client.on("connect", self._connected)
        client.on("disconnect", self._disconnected)
        self._client = client

    async def __aenter__(self) -> LiveClient:
        try:
            await self._client.connect(self._url, transports=["websocket"], auth=self._auth, headers=self._headers)
        except BaseException:
            await self._close_http()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await end_tasks(self._tasks)
        await self._client.shutdown()
        await self._close_http()

    async def _close_http(self) -> None:
        """python-engineio forgets the session of a connection that did not come about."""
        http = self._client.eio.http
        if http is not None:
            await http.close()

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands."""
        return bool(self._client.connected)

    async def call(self, name: str, **fields: object) -> dict[str, Any]:
        """Ask, and wait for the acknowledgement. Raises Refused with the problem."""
        answer = cast("dict[str, Any]", await self._client.call(name, fields, timeout=10))
        if not answer["ok"]:
            raise Refused(answer["error"])
        return answer

    async def watch(self, room: str, *, since: int | None = None) -> Watched:
        """Subscribe a room. Raises Refused."""
        watched = self.rooms.setdefault(room, Watched(room))
        watched.offset = since
        try:
            await self._ask(watched)
        except Refused:
            self.rooms.pop(room, None)
            raise
        return watched

    async def leave(self, room: str) -> None:
        """Watch a room no more."""
        self.rooms.pop(room, None)
        await self.call("unsubscribe", room=room)

    async def until(self, true: Callable[[], object], seconds: float = 10) -> None:
        """Wait until something that messages change is true. Raises TimeoutError."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: bool(true()))

    async def _ask(self, watched: Watched) -> None:
        fields: dict[str, object] = {"room": watched.room}
        if watched.offset is not None:
            fields["since"] = watched.offset
        answer = await self.call("subscribe", **fields)
        watched.asking = None
        if "snapshot" in answer:
            watched.snapshot = answer["snapshot"]
            watched.offset = answer["offset"]
        else:
            for event in answer["events"]:
                self._apply(watched, event)
            watched.offset = answer["offset"]  # the server's number always replaces ours
        early, watched.early = watched.early, []
        for event in early:
            self._apply(watched, event)
        await self._tell()

    def _apply(self, watched: Watched, event: dict[str, Any]) -> None:
        number: int | None = event.get("offset")
        if number is None:
            watched.signals.append(event)
        elif watched.offset is None or watched.asking is not None:
            watched.early.append(event)
        elif number == watched.offset + 1:
            watched.offset = number
            watched.events.append(event)
        elif number > watched.offset:
            watched.early.append(event)
            self._ask_again(watched)

    def _ask_again(self, watched: Watched) -> None:
        if watched.asking is None:
            watched.asking = asyncio.get_running_loop().create_task(self._catch_up(watched))
            self._tasks.add(watched.asking)
            watched.asking.add_done_callback(self._tasks.discard)

    async def _catch_up(self, watched: Watched) -> None:
        try:
            while True:
                try:
                    await self._ask(watched)
                    return
                except Refused as refused:
                    if refused.code != Unavailable.code:
                        self.rooms.pop(watched.room, None)
                        return
                await asyncio.sleep(RETRY_SECONDS)
        except (SocketIOError, TimeoutError):
            return  # the connection is gone; the next one asks for every room
        finally:
            watched.asking = None
            await self._tell()

    async def _event(self, event: dict[str, Any]) -> None:
        watched = self.rooms.get(event["room"])
        if watched is not None:
            self._apply(watched, event)
            await self._tell()

    async def _resync(self, message: dict[str, Any]) -> None:
        self.resyncs.append(message)
        watched = self.rooms.get(message["room"])
        if watched is not None:
            self._ask_again(watched)
        await self._tell()

    async def _bye(self, message: dict[str, Any]) -> None:
        self.byes.append(message)
        await self._tell()

    async def _connected(self) -> None:
        for watched in self.rooms.values():
            if watched.offset is not None:
                self._ask_again(watched)

    async def _disconnected(self, *_: object) -> None:
        await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()
