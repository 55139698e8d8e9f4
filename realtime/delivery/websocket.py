"""The server's side of a WebSocket (RFC 6455) on a bare transport: whole messages, an orderly end, nothing else kept.

aiohttp answers the handshake's request and then lets the connection go: what it would keep for each (its request and
headers, its parser, two tasks and their frames) is four times what a socket needs. Extensions are never agreed to.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib

from aiohttp import hdrs, web

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPTED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n"
)
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, NOT_UTF8, TOO_BIG = 1000, 1002, 1007, 1009
CLOSE_SECONDS = 3.0
PONG_BACKLOG_BYTES = 64 * 1024


def accept_key(request: web.BaseRequest) -> str | None:
    """What answers the key of a WebSocket handshake; None if the request is no such handshake (section 4.2.1)."""
    headers = request.headers
    key = headers.get(hdrs.SEC_WEBSOCKET_KEY, "").strip()
    tokens = [token.strip().lower() for token in headers.get(hdrs.CONNECTION, "").split(",")]
    if (
        request.method != hdrs.METH_GET
        or headers.get(hdrs.UPGRADE, "").strip().lower() != "websocket"
        or "upgrade" not in tokens
        or headers.get(hdrs.SEC_WEBSOCKET_VERSION, "").strip() != "13"
    ):
        return None
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except binascii.Error:
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class WebSocket(asyncio.Protocol):
    """One WebSocket. Subclasses take what is received; `most` bounds a message in bytes."""

    __slots__ = ("_is_closing", "_is_lost_for_good", "_most", "_parts", "_parts_are_text", "_tail", "fd", "transport")

    def __init__(self, most: int) -> None:
        self.transport: asyncio.Transport | None = None
        self.fd = -1
        """The connection's own file descriptor, as long as `transport` is not closing; -1 where TLS stands between."""
        self._most = most
        self._tail = b""
        self._parts: bytearray | None = None
        self._parts_are_text = False
        self._is_closing = False
        self._is_lost_for_good = False

    def text_received(self, text: str) -> None:
        """A whole text message."""
        raise NotImplementedError

    def binary_received(self, data: bytes) -> None:
        """A whole binary message."""
        raise NotImplementedError

    def ended(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    def take_over(self, request: web.BaseRequest, key: str, first: bytes) -> None:
        """Answer the handshake, say `first`, and take the connection from aiohttp, which sees it as lost.

        Whatever response the handler then returns goes nowhere. Raises ConnectionResetError if the client has gone.
        """
        protocol, transport = request.protocol, request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        protocol.transport = None  # else its connection_lost() would close what is ours now
        protocol.connection_lost(None)
        self.transport = transport
        link = transport.get_extra_info("socket")
        if link is not None and transport.get_extra_info("sslcontext") is None:
            self.fd = link.fileno()
        transport.set_protocol(self)
        self.transport.write(_ACCEPTED.format(key).encode() + first)
        self.transport.resume_reading()

    def shut(self, code: int = NORMAL) -> None:
        """Say CLOSE, once, and wait a moment for the client's own; then the connection ends in any case."""
        transport = self.transport
        if self._is_closing or transport is None:
            return
        self._is_closing = True
        if not transport.is_closing():
            transport.write(_control(_CLOSE, code.to_bytes(2, "big")))
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.fd = -1
        self._tail = b""
        self._parts = None
        self.ended()

    def data_received(self, data: bytes) -> None:
        if self._is_lost_for_good:
            # Its frames are unreadable from here; read on, so that our CLOSE is not overtaken by a reset.
            if data[-8:-6] == b"\x88\x82" or data[-6:-4] == b"\x88\x80":
                self._hang_up()
            return
        if self._tail:
            data = self._tail + data
        at, end = 0, len(data)
        while end - at >= 2 and not self._is_lost_for_good and self.transport is not None:
            first, length = data[at], data[at + 1] & 0x7F
            if first & 0x70 or not data[at + 1] & 0x80:  # an extension never agreed to; a client masks (section 5.1)
                self._fail(PROTOCOL_ERROR)
                return
            opcode, is_last, head = first & 0x0F, bool(first & 0x80), 2
            if length >= 126:
                head = 4 if length == 126 else 10
                if end - at < head:
                    break
                length = int.from_bytes(data[at + 2 : at + head], "big")
            if opcode >= _CLOSE and (length > 125 or not is_last):
                self._fail(PROTOCOL_ERROR)
                return
            if length + len(self._parts or b"") > self._most:
                self._fail(TOO_BIG)
                return
            start = at + head + 4
            if end < start + length:
                break
            at = start + length
            self._frame(opcode, is_last, _unmasked(data[start - 4 : start], data[start:at]))
        self._tail = data[at:] if at < end else b""

    def _frame(self, opcode: int, is_last: bool, payload: bytes) -> None:  # noqa: FBT001 - a bit of the frame
        if opcode == _CLOSE:
            self._close_received(payload)
        elif opcode == _PING:
            transport = self.transport
            # Who does not read gets no answers heaped up.
            if not self._is_closing and transport and transport.get_write_buffer_size() < PONG_BACKLOG_BYTES:
                transport.write(_control(_PONG, payload))
        elif opcode == _PONG:
            pass  # an answer to nothing is allowed (section 5.5.3)
        elif opcode not in (_CONTINUATION, _TEXT, _BINARY) or (opcode == _CONTINUATION) == (self._parts is None):
            self._fail(PROTOCOL_ERROR)
        elif is_last and opcode != _CONTINUATION:
            self._message(payload, is_text=opcode == _TEXT)
        else:
            if self._parts is None:
                self._parts, self._parts_are_text = bytearray(), opcode == _TEXT
            self._parts += payload
            if is_last:
                whole, self._parts = bytes(self._parts), None
                self._message(whole, is_text=self._parts_are_text)

    def _message(self, payload: bytes, *, is_text: bool) -> None:
        if self._is_closing:
            return
        if not is_text:
            self.binary_received(payload)
            return
        try:
            text = payload.decode()
        except UnicodeDecodeError:
            self._fail(NOT_UTF8)
            return
        self.text_received(text)

    def _close_received(self, payload: bytes) -> None:
        if len(payload) == 1:
            self._fail(PROTOCOL_ERROR)
            return
        if not self._is_closing:
            self._is_closing = True
            if self.transport is not None:
                self.transport.write(_control(_CLOSE, payload[:2]))
        self._hang_up()

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def _fail(self, code: int) -> None:
        self._is_lost_for_good = True
        self._tail = b""
        self._parts = None
        self.shut(code)


def _control(opcode: int, payload: bytes) -> bytes:
    return bytes((0x80 | opcode, len(payload))) + payload


def _unmasked(mask: bytes, payload: bytes) -> bytes:
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")
