"""The call of a consultation, bound to its room: who may come in, and signals that reach one socket wherever it is."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis

from realtime.delivery.commands import Command, bound, command
from realtime.delivery.connections import Socket
from realtime.delivery.feed import Feeds
from realtime.rooms.call_quality import count_quality
from realtime.video import (
    Calls,
    FallbackCallStore,
    JoinCall,
    JoinedCall,
    LeaveCall,
    MemoryCallStore,
    RedisCallStore,
    Turn,
    add_candidates,
    describe,
    join_call,
    leave_call,
    renew_ice,
    report_quality,
    show_media,
)
from realtime.video.call import CallFull, NotInCall, TakenOver
from realtime.video.ports import MayJoin
from realtime.video.signaling import CallsAway
from server.consultations import CONSULTATION
from server.core.clock import Clock
from server.core.errors import NotFound
from server.core.models import Done
from server.core.publish import Publisher
from server.core.routes import signed_in
from server.core.settings import Settings


class RoomBus:
    """Signals to one socket: straight to it if it is here, else over its consultation's channel."""

    def __init__(self, feeds: Feeds, publisher: Publisher, clock: Clock) -> None:
        self._feeds = feeds
        self._publisher = publisher
        self._clock = clock

    async def signal(self, room: str, type: str, data: dict[str, Any], *, to: str) -> None:  # noqa: A002 - wire's word
        """Send to the socket whose id is `to`, on whichever process it is."""
        here = [socket for socket in self._feeds.hearers(room) if socket.id == to]
        if here:
            self._feeds.tell_here(room, type, data, here)
        else:
            self._publisher.raw(room, type, data, self._clock(), to=to)


def open_calls(
    settings: Settings, redis: Redis, feeds: Feeds, publisher: Publisher, clock: Clock, may_join: MayJoin
) -> Calls:
    """All that the commands of a call need, on this process."""
    store = FallbackCallStore(RedisCallStore(redis), MemoryCallStore())
    secret = settings.turn_secret.get_secret_value() if settings.turn_secret else ""
    return Calls(
        store=store,
        bus=RoomBus(feeds, publisher, clock),
        clock=clock,
        may_join=may_join,
        turn=Turn(settings.turn_urls, secret),
        hear_quality=count_quality,
    )


def call_commands(calls: Calls, feeds: Feeds) -> list[Command]:
    """What may be asked in a call. All but `video.join` name no consultation: a socket is in one call at a time."""

    async def join(socket: Socket, ask: JoinCall) -> JoinedCall:
        """Come into the call of a consultation."""
        room = CONSULTATION.of(consultation_id=ask.consultation_id)
        before = socket.state.get(_HEARS)
        # The others answer as soon as they hear of us, so we listen first.
        feeds.listen(room, socket)
        try:
            joined = await join_call(calls, socket, ask)
        except BaseException:
            if before != room:
                feeds.stop_listening(room, socket)
            raise
        if isinstance(before, str) and before != room:
            feeds.stop_listening(before, socket)
        socket.state[_HEARS] = room
        return joined

    async def leave(socket: Socket, ask: LeaveCall) -> Done:
        """Go out of the call and tell the others."""
        done = await leave_call(calls, socket, ask)
        room = socket.state.pop(_HEARS, None)
        if isinstance(room, str):
            feeds.stop_listening(room, socket)
        return done

    inside = [NotInCall, TakenOver, CallsAway]
    return [
        command("video.join", join, access=signed_in, raises=[NotFound, TakenOver, CallFull, CallsAway]),
        command("video.describe", bound(describe, calls), access=signed_in, raises=inside),
        command("video.candidate", bound(add_candidates, calls), access=signed_in, raises=inside),
        command("video.media", bound(show_media, calls), access=signed_in, raises=inside),
        command("video.quality", bound(report_quality, calls), access=signed_in, raises=inside),
        command("video.ice", bound(renew_ice, calls), access=signed_in, raises=inside),
        command("video.leave", leave, access=signed_in, raises=[CallsAway]),
    ]


_HEARS = "call room"
