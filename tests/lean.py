"""Socket.IO clients on bare transports: lean enough that a thousand of them are not what a test waits for."""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

_ANSWER = re.compile(r"43(\d+)\[(.*)\]", re.DOTALL)
PATH = "/socket.io/?EIO=4&transport=websocket"
_CLOSED = b"\x88\x80\x00\x00\x00\x00"


class LeanSocket(asyncio.Protocol):
    """A client's WebSocket: whole text frames in and out, no extensions, nothing but what Engine.IO needs."""

    def __init__(self, path: str, host: str, address: str, hear: Callable[[str], None]) -> None:
        self._hello = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            f"X-Forwarded-For: {address}\r\n\r\n"
        ).encode()
        self._hear = hear
        self._buffer = bytearray()
        self._is_open = False
        self._transport: asyncio.Transport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._hello)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self._is_open = self._buffer.startswith(b"HTTP/1.1 101 ")
            if not self._is_open:
                self.abort()
                return
            del self._buffer[: end + 4]
        while self._frame():
            pass

    def _frame(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        size, at = buffer[1] & 127, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(buffer[2:at], "big")
        if len(buffer) < at + size:
            return False
        kind, text = buffer[0] & 15, bytes(buffer[at : at + size])
        del buffer[: at + size]
        if kind == 1:
            self._hear(text.decode())
        elif kind == 8 and self._transport is not None:
            self._transport.write(_CLOSED)
            self._transport.close()
        return True

    def send(self, text: str) -> None:
        """Send one text frame."""
        data = text.encode()
        size = bytes([128 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        if self._transport is not None:
            self._transport.write(b"\x81" + size + b"\0\0\0\0" + data)

    def abort(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()


class Got(NamedTuple):
    """An event that a watcher applied: its number, the server's `at`, and when it came, in seconds since 1970."""

    number: int
    at: str
    came: float
    asked: bool
    """Whether it came in the answer to a subscribe."""


@dataclass(eq=False)
class Watcher:
    """One client that keeps to a client's rule, comes back by itself, and notes all that it applied."""

    base: str
    rooms: Sequence[str]
    rng: random.Random
    token: str = ""
    address: str = "127.0.0.1"
    keeps_numbers: bool = True
    elsewhere: str = ""
    """Where it goes after a goodbye, as a balancer would send it."""
    firsts: dict[str, int] = field(default_factory=dict[str, int])
    offsets: dict[str, int] = field(default_factory=dict[str, int])
    got: dict[str, list[Got]] = field(default_factory=lambda: defaultdict[str, list[Got]](list))
    connected: list[float] = field(default_factory=list[float])
    subscribed: list[float] = field(default_factory=list[float])
    """When a connection had the answers of all its rooms, in seconds since 1970."""
    resyncs: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    byes: list[tuple[float, dict[str, Any]]] = field(default_factory=list[tuple[float, dict[str, Any]]])
    refused: list[Any] = field(default_factory=list[Any])
    socket: LeanSocket | None = None
    _calls: dict[int, str] = field(default_factory=dict[int, str])
    _early: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict[str, list[dict[str, Any]]](list)
    )
    _count: int = 0
    _pause: float = 0.0

    async def run(self) -> None:
        """Stay connected until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            host = self.base.removeprefix("http://")
            name, _, port = host.partition(":")
            try:
                _, self.socket = await loop.create_connection(
                    lambda host=host: LeanSocket(PATH, host, self.address, self._hear), name, int(port)
                )
                await self.socket.ended
            except OSError:
                pass  # nobody is there yet
            finally:
                if self.socket is not None:
                    self.socket.abort()
            self._calls.clear()
            self._early.clear()
            pause, self._pause = self._pause, 0.0
            await asyncio.sleep(pause or self.rng.uniform(0.02, 0.2))

    def watches_all(self) -> bool:
        """Whether every room has answered."""
        return len(self.offsets) == len(self.rooms)

    def _hear(self, text: str) -> None:
        assert self.socket is not None
        kind = text[:2]
        if text == "2":
            self.socket.send("3")
        elif text.startswith("0"):
            self.socket.send("40" + (json.dumps({"token": self.token}) if self.token else ""))
        elif kind == "40":
            self.connected.append(time.time())
            for room in self.rooms:
                self._ask(room)
        elif kind == "43":
            answer = _ANSWER.fullmatch(text)
            assert answer is not None, text
            self._answered(self._calls.pop(int(answer[1])), json.loads(answer[2]))
        elif kind == "42":
            name, message = json.loads(text[2:])
            self._told(name, message)
        elif kind == "44":
            self.refused.append(json.loads(text[2:]))
            self.socket.abort()

    def _told(self, name: str, message: dict[str, Any]) -> None:
        if name == "event":
            self._event(message)
        elif name == "resync":
            self.resyncs.append(message)
            self._ask(message["room"])
        elif name == "bye":
            self.byes.append((time.time(), message))
            self._pause = message["after_ms"] / 1000
            self.base = self.elsewhere or self.base

    def _ask(self, room: str) -> None:
        if self.socket is None or room in self._calls.values():
            return
        self._count += 1
        self._calls[self._count] = room
        since = {"since": self.offsets[room]} if self.keeps_numbers and room in self.offsets else {}
        self.socket.send(f"42{self._count}" + json.dumps(["subscribe", {"room": room, **since}]))

    def _answered(self, room: str, answer: dict[str, Any]) -> None:
        if not answer["ok"]:
            asyncio.get_running_loop().call_later(0.1, self._ask, room)
            return
        self.firsts.setdefault(room, answer["offset"])
        for event in answer.get("events", ()):
            self._event(event, asked=True)
        self.offsets[room] = answer["offset"]
        for event in self._early.pop(room, ()):
            self._event(event)
        if not self._calls and len(self.subscribed) < len(self.connected):
            self.subscribed.append(time.time())

    def _event(self, event: dict[str, Any], *, asked: bool = False) -> None:
        number, room = event.get("offset"), event["room"]
        if number is None:
            return
        if room in self._calls.values():
            self._early[room].append(event)  # the answer may be older than this, and its number replaces ours
        elif number == self.offsets[room] + 1 or not self.keeps_numbers:
            self.offsets[room] = number
            self.got[room].append(Got(number, event["at"], time.time(), asked))
        elif number > self.offsets[room]:
            self._ask(room)


__all__ = ["Got", "LeanSocket", "Watcher"]
