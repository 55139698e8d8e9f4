"""Holds: an unpaid booking whose time is over gives its slot back."""

from __future__ import annotations

from server.booking import ExpireHold, expire_hold, holds_due
from server.core.cipher import Cipher
from server.core.tx import Tx


async def expire_holds(tx: Tx, *, cipher: Cipher) -> bool:
    """Expire what is due, twenty a run; True when there may be more."""
    due = await holds_due(tx)
    for payment_id in due:
        await expire_hold(tx, ExpireHold(payment_id=payment_id), cipher=cipher)
    return len(due) == 20
