"""The room of one person: what concerns only them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from realtime.delivery.live_room import LiveRoom
from server.accounts import USER
from server.core.errors import NotFound
from server.core.tx import Tx


async def only_themselves(tx: Tx, user_id: UUID) -> None:
    """Raises NotFound for anybody else."""
    if tx.actor.user_id != user_id:
        raise NotFound


async def no_notices(tx: Tx, user_id: UUID) -> Mapping[str, object]:
    """Notices are told when they come; what was told before stands on the pages they speak of."""
    return {"notices": []}


USER_ROOM = LiveRoom(USER, may_join=only_themselves, snapshot=no_notices)
