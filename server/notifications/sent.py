"""The inbox of the demo profile: what would have left as mail and SMS, newest first."""

from __future__ import annotations

from server.core.cipher import Cipher, Erased, Place
from server.core.models import Nothing
from server.core.tx import Tx
from server.notifications import queries
from server.notifications.models import Content
from server.notifications.send import Opened

MOST = 200


async def inbox(tx: Tx, ask: Nothing, *, cipher: Cipher) -> list[Opened]:
    """The latest messages; those of an erased person are left out."""
    del ask
    opened: list[Opened] = []
    for row in await queries.latest(tx, MOST):
        place = Place("notifications", "content", row["id"])
        try:
            text = await cipher.open(tx, row["user_id"], place, row["content"])
        except Erased:
            continue
        opened.append(Opened(id=row["id"], channel=row["channel"], content=Content.model_validate_json(text)))
    return opened
