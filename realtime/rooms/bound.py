"""All rooms and commands of a process, bound to what they stand on."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from realtime.delivery.commands import Command
from realtime.delivery.connections import Socket
from realtime.delivery.feed import Feeds
from realtime.delivery.live_room import LiveRoom
from realtime.rooms.people import OPS_ROOM, USER_ROOM
from realtime.rooms.slots import slots_room
from server.core.cipher import Cipher
from server.core.database import Database
from server.core.publish import Publisher
from server.core.settings import Settings


@dataclass(frozen=True, slots=True)
class BoundRooms:
    """The rooms, the commands that belong to none of them, and what is to be told when people go."""

    rooms: list[LiveRoom]
    commands: list[Command]

    def somebody_is_away(self, room: str, role: str, seconds: float) -> None:
        pass

    async def socket_closed(self, socket: Socket) -> None:
        pass


def live_rooms(
    settings: Settings, cipher: Cipher, database: Database, redis: Redis, publisher: Publisher, feeds: Feeds
) -> BoundRooms:
    """Every kind of room that this server has."""
    return BoundRooms([slots_room(settings), USER_ROOM, OPS_ROOM], [])
