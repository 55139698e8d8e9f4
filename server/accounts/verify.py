"""The link in the first mail: its page's button spends it, opening the page does not."""

from __future__ import annotations

from server.accounts import queries
from server.accounts.events import AddressVerified
from server.accounts.models import Link, Purpose
from server.accounts.problems import LinkOver
from server.accounts.tokens import token_hash
from server.core.models import Done
from server.core.tx import Tx


async def verify_email(tx: Tx, ask: Link) -> Done:
    """Note that the address is its owner's. Raises LinkOver."""
    user_id = await queries.spend_link(tx, token_hash(ask.token), Purpose.VERIFY_EMAIL)
    if user_id is None:
        raise LinkOver
    if await queries.verify_email(tx, user_id):
        tx.emit(AddressVerified(user_id=user_id))
    return Done()
