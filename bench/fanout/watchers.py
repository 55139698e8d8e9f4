"""Watchers: a thousand raw WebSocket clients on one epoll, which count frames and note when each came.

    python -m bench.fanout.watchers

A process of its own that takes commands as JSON lines and answers each with one. It is lean, so that it is never what
holds a server back: two microseconds a frame, one read a client and turn; nothing of a frame is read but its length.
Every client offers permessage-deflate and sends a browser's headers. Frames below 40 bytes are heartbeats and are
answered; every longer one counts as an event, the k-th of its client's room.
"""

from __future__ import annotations

import base64
import gc
import json
import os
import select
import socket
import sys
import time
from typing import Any

EVENT_BYTES = 40
READ_BYTES = 256 * 1024
ANSWER_SECONDS = 30.0
PONG = b"\x81\x81\x00\x00\x00\x003"
HEADERS = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
    "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\nOrigin: {origin}\r\n"
    "Sec-WebSocket-Version: 13\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: hi-IN,hi;q=0.9,en-IN;q=0.8,en;q=0.7\r\nCookie: language=hi; theme=light\r\n"
    "Sec-WebSocket-Key: {key}\r\nX-Forwarded-For: {address}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


class Watcher:
    """One client."""

    __slots__ = ("count", "link", "room", "tail")

    def __init__(self, link: socket.socket, room: int, tail: bytes) -> None:
        self.link = link
        self.room = room
        self.tail = tail
        self.count = 0


class Watchers:
    """All clients, and what came since `begin`."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._by_fd: dict[int, Watcher] = {}
        self._last: list[list[float]] = []
        self._every: list[list[list[float]]] | None = None
        self._left = 0
        self.surplus = 0
        self.bytes = 0
        self.lost = 0

    def connect(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Open one client for each of `clients` ([port, room, join]); `path` and `origin` are the server's."""
        self._last = [[] for _ in range(1 + max(room for _, room, _ in ask["clients"]))]
        self._every = None
        for number, (port, room, join) in enumerate(ask["clients"], len(self._by_fd)):
            self._open(ask["path"], ask["origin"], port, room, join, number)
            self.turn(0)
        return {"open": len(self._by_fd)}

    def begin(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Count from now on: `expected` events of each room; with `every`, note each client's time and not the last."""
        self._last = [[0.0] * count for count in ask["expected"]]
        self._every = [[[] for _ in range(count)] for count in ask["expected"]] if ask.get("every") else None
        self._left = self.surplus = self.bytes = self.lost = 0
        for watcher in self._by_fd.values():
            watcher.count = 0
            self._left += len(self._last[watcher.room])
        return {"expected": self._left}

    def report(self, ask: dict[str, Any]) -> dict[str, Any]:
        """Wait until all has come, at most `seconds`; the moments, what is missing, and what came too often."""
        until = time.monotonic() + ask["seconds"]
        while self._left > 0 and time.monotonic() < until:
            self.turn(0.05)
        self.turn(0.02)  # what comes twice comes now
        return {
            "last": self._last,
            "every": self._every,
            "missing": self._left + self.surplus,
            "surplus": self.surplus,
            "bytes": self.bytes,
            "lost": self.lost,
        }

    def close(self, ask: dict[str, Any]) -> dict[str, Any]:
        """End every client."""
        for fd, watcher in self._by_fd.items():
            self._poll.unregister(fd)
            watcher.link.close()
        self._by_fd.clear()
        return {"open": 0}

    def serve(self) -> None:
        """Obey until standard input ends."""
        commands = {"connect": self.connect, "begin": self.begin, "report": self.report, "close": self.close}
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        gc.disable()
        while True:
            if not self.turn(1.0):
                continue
            line = sys.stdin.buffer.readline()
            if not line:
                return
            ask = json.loads(line)
            sys.stdout.write(json.dumps(commands[ask["do"]](ask)) + "\n")
            sys.stdout.flush()

    def turn(self, seconds: float) -> bool:
        """Take what there is to read; whether a command waits."""
        asked = False
        by_fd, read, now_of = self._by_fd, os.read, time.monotonic
        last, every = self._last, self._every
        for fd, _ in self._poll.poll(seconds, 2048):
            watcher = by_fd.get(fd)
            if watcher is None:
                asked = True
                continue
            try:
                data = read(fd, READ_BYTES)
            except (BlockingIOError, ConnectionError):
                data = b""
            now = now_of()
            length = len(data)
            if length > 130 and not watcher.tail and data[1] == 126 and length == 4 + (data[2] << 8 | data[3]):
                # The usual case: one whole frame.
                count = watcher.count
                watcher.count = count + 1
                moments = last[watcher.room]
                if count < len(moments):
                    moments[count] = now
                    self._left -= 1
                    if every is not None:
                        every[watcher.room][count].append(now)
                else:
                    self.surplus += 1
                self.bytes += length
            else:
                self._frames(watcher, data, now)
        return asked

    def _frames(self, watcher: Watcher, data: bytes, now: float) -> None:
        if not data:
            self.lost += 1
            self._poll.unregister(watcher.link.fileno())
            del self._by_fd[watcher.link.fileno()]
            return
        self.bytes += len(data)
        data = watcher.tail + data
        at, end = 0, len(data)
        moments = self._last[watcher.room]
        count, fits = watcher.count, len(moments)
        while end - at >= 2:
            length = data[at + 1]
            head = 2
            if length == 126:
                if end - at < 4:
                    break
                length, head = data[at + 2] << 8 | data[at + 3], 4
            elif length == 127:
                if end - at < 10:
                    break
                length, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if end - at < head + length:
                break
            at += head + length
            if length < EVENT_BYTES:
                watcher.link.send(PONG)
            elif count < fits:
                moments[count] = now
                if self._every is not None:
                    self._every[watcher.room][count].append(now)
                count += 1
            else:
                self.surplus += 1
        self._left -= count - watcher.count
        watcher.count = count
        watcher.tail = data[at:]

    def _open(self, path: str, origin: str, port: int, room: int, join: str, number: int) -> None:
        link = socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        address = f"198.18.{number // 250}.{number % 250 + 1}"  # from the range for benchmarks (RFC 2544)
        link.sendall(HEADERS.format(path=path, port=port, origin=origin, key=key, address=address).encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += _some(link)
        head, _, got = got.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(head.decode("latin-1"))
        for packet in ("", "40", join):
            if packet:
                link.sendall(_masked(packet))
            got = _without_a_frame(link, got)
        link.settimeout(0)
        self._by_fd[link.fileno()] = Watcher(link, room, got)
        self._poll.register(link.fileno(), select.EPOLLIN)


def _some(link: socket.socket) -> bytes:
    data = link.recv(READ_BYTES)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


def _masked(text: str) -> bytes:
    payload = text.encode()
    length = len(payload)
    head = bytes((0x81, 0x80 | length)) if length < 126 else bytes((0x81, 0xFE)) + length.to_bytes(2, "big")
    return head + b"\x00\x00\x00\x00" + payload  # a mask of zeros changes nothing


def _without_a_frame(link: socket.socket, got: bytes) -> bytes:
    while True:
        if len(got) >= 10:
            sizes = {126: (int.from_bytes(got[2:4], "big"), 4), 127: (int.from_bytes(got[2:10], "big"), 10)}
            length, head = sizes.get(got[1], (got[1], 2))
        elif len(got) >= 2 and got[1] < 126:
            length, head = got[1], 2
        else:
            length, head = sys.maxsize, 0
        if len(got) >= head + length:
            return got[head + length :]
        got += _some(link)


if __name__ == "__main__":
    Watchers().serve()
