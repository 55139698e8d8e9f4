"""What a socket may do and how much of it: the bounds of the real-time side, in one place."""

from __future__ import annotations

import time
from collections import OrderedDict

from server.core.limits import Rate
from server.core.models import Model
from server.core.settings import Settings


def _default(setting: str) -> int:
    return int(Settings.model_fields[setting].default)


class Bounds(Model):
    """All bounds of sockets. Times in seconds, sizes in bytes."""

    ping_seconds: int = 10
    pong_seconds: int = 10
    connect_seconds: float = 10
    frame_bytes: int = _default("socket_frame_bytes")
    events_a_socket: int = _default("socket_events")
    events_a_user: int = _default("socket_events_a_user")
    candidates_a_socket: int = _default("socket_candidates")
    budget_seconds: int = 10
    strikes: int = 3
    strikes_forgotten_seconds: float = 60
    sockets_a_user: int = _default("sockets_a_user")
    sockets_an_address: int = _default("sockets_an_address")
    rooms_a_socket: int = 50
    commands_waiting: int = 40
    backlog_bytes: int = 256 * 1024
    backlog_seconds: float = 30
    frames_kept: int = 256
    replay_at_most: int = 1000
    sweep_seconds: float = 1
    sessions_seconds: float = 5
    touch_seconds: float = 120
    input_counts_seconds: float = 8 * 3600
    presence_seconds: float = 10
    presence_lasts_seconds: float = 25
    grace_seconds: float = 60
    bye_within_ms: int = 10_000
    drain_seconds: float = 10
    beat_seconds: float = 3
    beat_lasts_seconds: int = 15
    redis_pause_seconds: float = 1


def bounds_of(settings: Settings) -> Bounds:
    """The bounds, with what is set."""
    return Bounds(
        frame_bytes=settings.socket_frame_bytes,
        events_a_socket=settings.socket_events,
        events_a_user=settings.socket_events_a_user,
        candidates_a_socket=settings.socket_candidates,
        sockets_a_user=settings.sockets_a_user,
        sockets_an_address=settings.sockets_an_address,
    )


class Budgets:
    """GCRA in this process's memory: sockets stick to one process, so their budgets can too."""

    def __init__(self, most: int = 50_000) -> None:
        self._arrivals: OrderedDict[str, float] = OrderedDict()
        self._most = most

    def spend(self, key: str, rate: Rate) -> bool:
        """Spend one of `rate` on `key`; False when nothing is left."""
        now = time.monotonic()
        emission = rate.seconds / rate.count
        arrival = max(self._arrivals.get(key, now), now) + emission
        if arrival - now > rate.seconds + 1e-9:
            return False
        self._arrivals[key] = arrival
        self._arrivals.move_to_end(key)
        while len(self._arrivals) > self._most:
            self._arrivals.popitem(last=False)
        return True
