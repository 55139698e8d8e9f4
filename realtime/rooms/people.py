"""The rooms of one person and of operations: what concerns only them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from realtime.delivery.live_room import LiveRoom
from server.accounts import USER
from server.core.errors import NotFound
from server.core.events import Room
from server.core.privacy import Level
from server.core.tx import Role, Tx

OPS = Room("ops", cleared=Level.INTERNAL)


async def only_themselves(tx: Tx, user_id: UUID) -> None:
    """Raises NotFound for anybody else."""
    if tx.actor.user_id != user_id:
        raise NotFound


async def no_notices(tx: Tx, user_id: UUID) -> Mapping[str, object]:
    """Notices are told when they come; what was told before stands on the pages they speak of."""
    return {"notices": []}


async def only_administrators(tx: Tx, id_: UUID) -> None:
    """Raises NotFound for anybody else."""
    if tx.actor.role is not Role.ADMIN:
        raise NotFound


async def nothing_yet(tx: Tx, id_: UUID) -> Mapping[str, object]:
    """Operations hear signals only: a room that every transaction numbered would be everybody's lock."""
    return {}


USER_ROOM = LiveRoom(USER, may_join=only_themselves, snapshot=no_notices)
OPS_ROOM = LiveRoom(OPS, may_join=only_administrators, snapshot=nothing_yet)
