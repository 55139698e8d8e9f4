"""Fan-out: one frame an event, the events of one loop turn joined, written to each member's own transport.

It relies on what tests pin: a WebSocket without extensions, one thread, whole frames a write, nothing after CLOSE.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable

from realtime.delivery.connections import Socket
from realtime.delivery.limits import Bounds
from server.core.clock import Clock
from server.core.models import rfc3339

log = logging.getLogger(__name__)


class Fanout:
    """Writes to many sockets, and looks after those that do not read."""

    def __init__(self, clock: Clock, bounds: Bounds) -> None:
        self._clock = clock
        self._bounds = bounds
        self._slow: set[Socket] = set()
        self._pending: dict[str, tuple[list[bytes], set[Socket]]] = {}
        self._is_due = False

    def post(self, room: str, frame: bytes, members: set[Socket]) -> None:
        """Write a frame to all members before the loop's next turn, joined with what else the room gets until then."""
        waiting = self._pending.get(room)
        if waiting is not None:
            waiting[0].append(frame)
            return
        self._pending[room] = ([frame], members)
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._write_all)

    def settle(self, room: str) -> None:
        """Write now what waits for a room: before its members change."""
        waiting = self._pending.pop(room, None)
        if waiting is not None:
            self.write(b"".join(waiting[0]), waiting[1])

    def write(self, frames: bytes, sockets: Iterable[Socket]) -> None:
        """Write frames to sockets; one that has too much unread gets no more room events until it has caught up.

        Where nothing waits in the transport they go to the socket itself, and to the transport only what it does not
        take: with uvloop's bookkeeping each write costs an eighth more (measured 2026-11 with 1,000 sockets).
        """
        most, size, straight = self._bounds.backlog_bytes, len(frames), os.write
        for socket in sockets:
            wire = socket.wire
            transport = wire.transport
            if socket.slow_since is not None or not wire.is_open or transport is None or transport.is_closing():
                continue
            waiting = transport.get_write_buffer_size()
            if waiting > most:
                socket.slow_since = time.monotonic()
                self._slow.add(socket)
                continue
            taken = 0
            if not waiting and wire.fd >= 0:
                try:
                    taken = straight(wire.fd, frames)
                except OSError:
                    taken = 0  # it is full or broken: the transport finds out which
            if taken < size:
                transport.write(frames[taken:])

    def look_after_the_slow(self) -> None:
        """Once a second: who has read everything is told to ask again; who has not within the time is cut."""
        now = time.monotonic()
        for socket in tuple(self._slow):
            if not socket.wire.is_open:
                self._slow.discard(socket)
            elif socket.wire.backlog == 0:
                self._slow.discard(socket)
                socket.slow_since = None
                for room in sorted(socket.rooms):
                    self.tell_resync(socket, room, "slow")
            elif socket.slow_since is not None and now - socket.slow_since > self._bounds.backlog_seconds:
                log.info("a client that does not read was cut")
                self._slow.discard(socket)
                socket.wire.cut()

    def tell_resync(self, socket: Socket, room: str, reason: str) -> None:
        """Tell a client that its picture of a room may be wrong: it subscribes again."""
        socket.wire.say("resync", {"room": room, "reason": reason, "at": rfc3339(self._clock())})

    def _write_all(self) -> None:
        self._is_due = False
        pending, self._pending = self._pending, {}
        for frames, members in pending.values():
            self.write(frames[0] if len(frames) == 1 else b"".join(frames), members)
