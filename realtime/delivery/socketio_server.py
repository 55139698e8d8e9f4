"""The one module that speaks to python-socketio: it keeps the protocol, and hands out typed wires.

python-socketio and python-engineio keep the sessions and answer CONNECT; a wire stands in Engine.IO's table of sockets.
Messages come straight from the WebSocket, and events are acknowledged on the transport itself, so that all that a
client hears leaves in one order, and nothing of its JSON is read outside the gate. A wire is one object and one timer:
no task, no queue and nothing of its HTTP request lives on beside it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

import socketio
from aiohttp import web
from socketio.exceptions import ConnectionRefusedError as Refused

from realtime.delivery.frames import acknowledgement_frame, compact, message_frame, text_frame
from realtime.delivery.handshake import answer_polling, foreign_origin, no_handshake, opening
from realtime.delivery.limits import Bounds
from realtime.delivery.websocket import WebSocket, accept_key
from server.core import jsongate
from server.core.errors import Malformed, Problem
from server.core.tasks import end_tasks

if TYPE_CHECKING:
    _AsyncManager = Any  # it is not typed
else:
    _AsyncManager = socketio.AsyncManager

log = logging.getLogger(__name__)
PATH = "/socket.io/"
# `2`, perhaps the number of an acknowledgement that the client waits for, and the JSON of [name, ...arguments].
_PING = text_frame("2")
_ENGINE_CLOSE = text_frame("1")
_EVENT = re.compile(r"2(\d{0,15})(\[.*)", re.DOTALL)


class Greeting(NamedTuple):
    """What a handshake said about who comes: the address, and what browsers send by themselves."""

    address: str
    cookie: str
    origin: str | None


class Wire(WebSocket):
    """One client, from its handshake to its end: the WebSocket, and the session that Engine.IO keeps of it."""

    __slots__ = ("_beat", "_is_pinged", "_server", "connecting", "eio_id", "greeting", "holder", "id", "is_connected")

    def __init__(self, server: SocketServer, eio_id: str, most: int) -> None:
        super().__init__(most)
        self._server = server
        self._is_pinged = False
        self._beat: asyncio.TimerHandle | None = None
        self.eio_id = eio_id
        self.id = ""
        """The Socket.IO id, once connected."""
        self.greeting: Greeting | None = None
        """What the handshake said; forgotten once it is known who this is."""
        self.connecting = False
        self.is_connected = False
        self.holder: object = None
        """What the listener keeps for this wire."""

    @property
    def is_open(self) -> bool:
        """Whether anything may still be said: neither side has closed."""
        return self.transport is not None and not self._is_closing

    def write(self, frames: bytes) -> bool:
        """Write finished frames; False when the client is gone. Never after our CLOSE frame."""
        transport = self.transport
        if transport is None or self._is_closing or transport.is_closing():
            return False
        transport.write(frames)
        return True

    @property
    def backlog(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def acknowledge(self, call: int, body: str) -> None:
        """Answer a call; `body` is JSON already."""
        self.write(acknowledgement_frame(call, body))

    def say(self, name: str, body: Mapping[str, object]) -> None:
        """Send a message that is no room event."""
        self.write(message_frame(name, body))

    def leave(self) -> None:
        """End the session and the WebSocket in order. A client that does not take our CLOSE is cut."""
        self.write(_ENGINE_CLOSE)
        self.shut()

    def cut(self) -> None:
        """End the connection at once, whatever is unsent."""
        self._is_closing = True
        if self.transport is not None:
            self.transport.abort()

    def text_received(self, text: str) -> None:
        kind = text[:1]
        if kind == "4":
            self._server.message(self, text[1:])
        elif kind == "3":
            self._is_pinged = False
        elif kind == "1":
            self.shut()
        elif kind not in ("2", "5", "6"):  # an older client's ping, an upgrade, nothing: not for this transport
            self._server.misspoken(self)

    def binary_received(self, data: bytes) -> None:
        self._server.misspoken(self)

    def ended(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        self._server.ended(self)

    def keep_beating(self, ping_seconds: float, pong_seconds: float) -> None:
        """Ping now and then; who has not answered the last one is cut."""
        if not self.is_open:
            return
        if self._is_pinged:
            log.info("a client that does not answer was cut")
            self.cut()
            return
        loop = asyncio.get_running_loop()
        if self._beat is not None:
            self._is_pinged = True
            self.write(_PING)
        wait = max(ping_seconds, pong_seconds)
        self._beat = loop.call_later(wait, self.keep_beating, ping_seconds, pong_seconds)

    # What python-engineio asks of a session in its table of sockets.

    @property
    def closed(self) -> bool:
        """Whether Engine.IO forgets it."""
        return not self.is_open

    async def send(self, packet: Any) -> None:
        """Send an Engine.IO packet; python-socketio's own are CONNECT and CONNECT_ERROR."""
        self.write(text_frame(packet.encode()))


class Listener(Protocol):
    """Who is told what wires do."""

    def opened(self, wire: Wire, request: web.Request) -> bool:
        """A client asks for a WebSocket and has said nothing yet; False refuses it."""
        ...

    async def connect(self, wire: Wire, auth: object) -> None:
        """The client sent CONNECT. Raises a Problem to refuse it."""
        ...

    def called(self, wire: Wire, call: int | None, name: str, arguments: list[object]) -> None:
        """The client sent an event; `call` numbers the acknowledgement it waits for. Must not block."""
        ...

    def misspoke(self, wire: Wire, call: int | None, problem: Problem) -> None:
        """The client sent what cannot be read."""
        ...

    def closed(self, wire: Wire) -> None:
        """The wire has ended."""
        ...


class SocketServer:
    """Socket.IO over WebSocket on an aiohttp application."""

    def __init__(self, listener: Listener, origins: frozenset[str], bounds: Bounds) -> None:
        self._listener = listener
        self._origins = origins
        self._bounds = bounds
        self._wires: dict[str, Wire] = {}
        self._empty = asyncio.Event()
        self.accepting = True
        sio: Any = socketio.AsyncServer(
            async_mode="aiohttp",
            client_manager=_OneRoom(),
            logger=False,
            engineio_logger=False,
        )
        self._sio = sio
        # CONNECT is the library's. Binary packets, foreign namespaces and all else end here, not inside of it.
        self._pass_on = sio.eio.handlers["message"]
        self._eio_opened = sio.eio.handlers["connect"]
        self._eio_closed = sio.eio.handlers["disconnect"]
        sio.on("connect", self._connect)
        self._tasks: set[asyncio.Task[None]] = set()

    def mount(self, app: web.Application) -> None:
        """Answer at /socket.io/."""
        for method in ("GET", "POST", "OPTIONS"):
            app.router.add_route(method, PATH, self._handle)

    async def shutdown(self) -> None:
        """Cut every wire that is still there."""
        for wire in self.wires:
            wire.cut()
        await self.emptied()
        await end_tasks(self._tasks)

    async def emptied(self) -> None:
        """Wait until no wire is left."""
        self._empty.clear()
        if self._wires:
            await self._empty.wait()

    @property
    def wires(self) -> list[Wire]:
        """Every open wire, connected or not."""
        return list(self._wires.values())

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._origins:
            return foreign_origin()
        if request.query.get("transport", "polling") == "polling":
            return answer_polling(request, origin, self._bounds)
        if not self.accepting:
            return web.Response(status=503, headers={"Retry-After": "2"})
        key = accept_key(request)
        if key is None or request.query.get("EIO") != "4" or request.query["transport"] != "websocket":
            return no_handshake()
        wire = Wire(self, self._sio.eio.generate_id(), self._bounds.frame_bytes)
        if not self._listener.opened(wire, request):
            return web.Response(status=429, headers={"Retry-After": str(self._bounds.budget_seconds)})
        try:
            wire.take_over(request, key, text_frame("0" + compact(opening(wire.eio_id, self._bounds))))
        except ConnectionResetError:
            self._listener.closed(wire)
            return web.Response(status=400)
        self._wires[wire.eio_id] = self._sio.eio.sockets[wire.eio_id] = wire
        await self._eio_opened(wire.eio_id, wire)
        asyncio.get_running_loop().call_later(self._bounds.connect_seconds, self._expect_connected, wire)
        wire.keep_beating(self._bounds.ping_seconds, self._bounds.pong_seconds)
        return web.Response(status=101)  # said already

    def _expect_connected(self, wire: Wire) -> None:
        if wire.is_open and not wire.is_connected:
            wire.cut()

    def message(self, wire: Wire, data: str) -> None:
        """A wire brought a Socket.IO packet."""
        kind = data[:1]
        if kind == "2":
            self._event(wire, data)
        elif kind == "0" and not wire.connecting:
            wire.connecting = True
            self._spawn(self._hand_on(wire, data))
        elif kind == "1":
            wire.shut()
        elif kind != "3":  # acknowledgements answer nothing: we ask clients for none
            self._listener.misspoke(wire, None, Malformed("Packets of this kind are not taken here."))

    def misspoken(self, wire: Wire) -> None:
        """A wire brought what is no packet of text."""
        if wire.is_open:
            self._listener.misspoke(wire, None, Malformed("Binary and bare values are not taken here."))

    def ended(self, wire: Wire) -> None:
        """A wire's connection is gone."""
        self._sio.eio.sockets.pop(wire.eio_id, None)
        if self._wires.pop(wire.eio_id, None) is not None:
            self._listener.closed(wire)
            self._spawn(self._eio_closed(wire.eio_id, "transport close"))
            if not self._wires:
                self._empty.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hand_on(self, wire: Wire, data: str) -> None:
        try:
            await self._pass_on(wire.eio_id, data)
        except Exception as error:  # whatever the library's decoder trips over is the client's packet
            log.info("a packet could not be read", extra={"error": type(error).__name__})
            self._listener.misspoke(wire, None, Malformed())

    def _event(self, wire: Wire, data: str) -> None:
        if not wire.is_connected:
            return
        match = _EVENT.fullmatch(data)
        if match is None:
            self._listener.misspoke(wire, None, Malformed("This is no event of the namespace /."))
            return
        call = int(match[1]) if match[1] else None
        try:
            items = jsongate.parse(match[2].encode("utf-8", "surrogatepass"))
        except Problem as problem:
            self._listener.misspoke(wire, call, problem)
            return
        listed = cast("list[object]", items)
        if not listed or not isinstance(listed[0], str):
            self._listener.misspoke(wire, call, Malformed("An event begins with its name."))
            return
        self._listener.called(wire, call, listed[0], listed[1:])

    async def _connect(self, sio_id: str, wire: Wire, auth: object) -> None:
        wire.id = sio_id
        try:
            await self._listener.connect(wire, auth)
        except Problem as problem:
            raise Refused(problem.title, problem.as_json(secrets.token_urlsafe(12))) from None
        wire.is_connected = True


class _OneRoom(_AsyncManager):
    """python-socketio's register of who is connected, without a room for each client alone.

    Rooms are the feeds' business here, and with one for each client every disconnect would copy the table of all.
    """

    def basic_enter_room(self, sid: str, namespace: str, room: str | None, eio_sid: str | None = None) -> None:
        if room is None:
            super().basic_enter_room(  # pyright: ignore[reportUnknownMemberType] - untyped
                sid, namespace, room, eio_sid=eio_sid
            )
