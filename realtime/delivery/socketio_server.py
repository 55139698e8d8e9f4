"""The one module that speaks to python-socketio: it keeps the protocol, and hands out typed wires.

python-socketio does the handshake, CONNECT, namespaces and the heartbeat. Events are taken from Engine.IO's messages
and acknowledged on the transport itself, so that acknowledgements and room events of a socket leave in one order, and
nothing of a client's JSON is read outside the gate.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Mapping
from typing import Any, Protocol, cast

import socketio
from aiohttp import web
from multidict import CIMultiDict
from socketio.exceptions import ConnectionRefusedError as Refused

from realtime.delivery.frames import acknowledgement_frame, compact, message_frame
from realtime.delivery.limits import Bounds
from server.core import jsongate
from server.core.errors import Malformed, Problem

log = logging.getLogger(__name__)
PATH = "/socket.io/"
USE_WEBSOCKET = 'This server speaks WebSocket only: connect with {transports: ["websocket"]}.'
# `2`, perhaps the number of an acknowledgement that the client waits for, and the JSON of [name, ...arguments].
_EVENT = re.compile(r"2(\d{0,15})(\[.*)", re.DOTALL)


class Wire:
    """One WebSocket of a client, from its handshake to its end."""

    def __init__(self, eio: Any, eio_id: str, request: web.Request) -> None:
        self._eio = eio
        self.eio_id = eio_id
        self.request = request
        self.transport = request.transport
        self.id = ""
        """The Socket.IO id, once connected."""
        self.connecting = False
        self.is_open = True
        self.is_connected = False
        self.holder: object = None
        """What the listener keeps for this wire."""

    def write(self, frames: bytes) -> bool:
        """Write finished frames; False when the client is gone. Never after our CLOSE frame."""
        transport = self.transport
        if not self.is_open or transport is None or transport.is_closing():
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

    async def close(self) -> None:
        """Close the WebSocket. A client that does not take our CLOSE is cut by the caller's `cut`."""
        await self._eio.disconnect(self.eio_id)

    def cut(self) -> None:
        """End the connection at once, whatever is unsent."""
        self.is_open = False
        if self.transport is not None:
            self.transport.abort()


_WIRE = web.RequestKey("amrutam.wire", Wire)


class Listener(Protocol):
    """Who is told what wires do."""

    def opened(self, wire: Wire) -> bool:
        """A WebSocket was opened and has said nothing yet; False closes it."""
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
            transports=["websocket"],
            allow_upgrades=False,
            cors_allowed_origins=sorted(origins),
            ping_interval=bounds.ping_seconds,
            ping_timeout=bounds.pong_seconds,
            max_http_buffer_size=bounds.frame_bytes,
            http_compression=False,
            cookie=None,
            logger=False,
            engineio_logger=False,
        )
        self._sio = sio
        # Binary packets, foreign namespaces and everything before CONNECT end here, not inside the library.
        self._pass_on = sio.eio.handlers["message"]
        self._eio_opened = sio.eio.handlers["connect"]
        sio.eio.on("connect", self._opened)
        sio.eio.on("message", self._message)
        sio.on("connect", self._connect)
        sio.on("disconnect", self._disconnect)
        self._eio_closed = sio.eio.handlers["disconnect"]
        sio.eio.on("disconnect", self._closed)

    def mount(self, app: web.Application) -> None:
        """Answer at /socket.io/."""
        for method in ("GET", "POST", "OPTIONS"):
            app.router.add_route(method, PATH, self._handle)

    async def shutdown(self) -> None:
        """Stop the library's own tasks."""
        await self._sio.shutdown()

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
            return web.json_response(_foreign_origin(), status=403, content_type="application/problem+json")
        if request.query.get("transport", "polling") == "polling":
            return _answer_polling(request, origin, self._bounds)
        if not self.accepting:
            return web.Response(status=503, headers={"Retry-After": "2"})
        # Without the offer aiohttp agrees on no compression: its memory a connection, and CRIME.
        headers = CIMultiDict(request.headers)
        headers.popall("Sec-WebSocket-Extensions", None)
        plain = request.clone(headers=headers)
        try:
            return cast("web.StreamResponse", await self._sio.handle_request(plain))
        finally:
            wire = plain.get(_WIRE)
            if wire is not None:
                self._forget(wire)

    async def _opened(self, eio_id: str, environ: dict[str, Any]) -> object:
        wire = Wire(self._sio.eio, eio_id, environ["aiohttp.request"])
        if not self._listener.opened(wire):
            return False
        self._wires[eio_id] = wire
        environ["aiohttp.request"][_WIRE] = wire
        asyncio.get_running_loop().call_later(self._bounds.connect_seconds, self._expect_connected, wire)
        return await self._eio_opened(eio_id, environ)

    def _expect_connected(self, wire: Wire) -> None:
        if wire.is_open and not wire.is_connected:
            wire.cut()

    async def _message(self, eio_id: str, data: object) -> None:
        wire = self._wires.get(eio_id)
        if wire is None or not wire.is_open:
            return
        if not isinstance(data, str) or not data:
            self._listener.misspoke(wire, None, Malformed("Binary and bare values are not taken here."))
            return
        if data[0] == "2":
            self._event(wire, data)
        elif data[0] == "0" and not wire.connecting:
            wire.connecting = True
            await self._hand_on(wire, eio_id, data)
        elif data[0] == "1":
            await self._hand_on(wire, eio_id, data)
            wire.cut()
        elif data[0] != "3":  # acknowledgements answer nothing: we ask clients for none
            self._listener.misspoke(wire, None, Malformed("Packets of this kind are not taken here."))

    async def _hand_on(self, wire: Wire, eio_id: str, data: str) -> None:
        try:
            await self._pass_on(eio_id, data)
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

    async def _connect(self, sio_id: str, environ: dict[str, Any], auth: object) -> None:
        wire: Wire = environ["aiohttp.request"][_WIRE]
        wire.id = sio_id
        try:
            await self._listener.connect(wire, auth)
        except Problem as problem:
            raise Refused(problem.title, problem.as_json(secrets.token_urlsafe(12))) from None
        wire.is_connected = True

    async def _disconnect(self, sio_id: str, reason: object) -> None:
        """Ended by the library; `_closed` follows for the same wire."""

    async def _closed(self, eio_id: str, reason: object) -> None:
        wire = self._wires.get(eio_id)
        if wire is not None:
            self._forget(wire)
        await self._eio_closed(eio_id, reason)

    def _forget(self, wire: Wire) -> None:
        if self._wires.pop(wire.eio_id, None) is not None:
            wire.is_open = False
            self._listener.closed(wire)
            if not self._wires:
                self._empty.set()


def _foreign_origin() -> dict[str, object]:
    return {
        "type": "/problems/foreign-request",
        "title": "This request did not come from our pages.",
        "status": 403,
        "detail": "The Origin header names another site.",
        "request_id": secrets.token_urlsafe(12),
    }


def _answer_polling(request: web.Request, origin: str | None, bounds: Bounds) -> web.Response:
    """A valid Engine.IO answer to a client that begins with polling, whose CONNECT_ERROR says what to set."""
    headers = {"Cache-Control": "no-store"}
    if origin is not None:
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
    if request.method == "OPTIONS":
        headers |= {"Access-Control-Allow-Headers": "Content-Type, Authorization"}
        return web.Response(headers=headers)
    if request.method == "POST":
        return web.Response(text="ok", headers=headers)
    if "sid" in request.query:
        return web.Response(text="1", headers=headers)
    opened: dict[str, object] = {
        "sid": secrets.token_urlsafe(15),
        "upgrades": [],
        "pingInterval": bounds.ping_seconds * 1000,
        "pingTimeout": bounds.pong_seconds * 1000,
        "maxPayload": bounds.frame_bytes,
    }
    refusal = {"message": USE_WEBSOCKET, "data": {"type": "/problems/websocket-only", "transports": ["websocket"]}}
    return web.Response(text=f"0{compact(opened)}\x1e44{compact(refusal)}", headers=headers)
