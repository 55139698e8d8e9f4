"""The link in the first mail: its page's button spends it, opening the page does not; an address nobody is at."""

from __future__ import annotations

from server.accounts import queries
from server.accounts.events import AddressDoubted, AddressUndeliverable, AddressVerified
from server.accounts.models import Accepted, Link, NoteUndeliverable, Purpose
from server.accounts.problems import LinkOver
from server.accounts.registration import LINK_LASTS, email_hash_of
from server.accounts.tokens import link_token, token_hash
from server.core.cipher import Cipher
from server.core.errors import Unauthenticated
from server.core.models import Done, Nothing
from server.core.tx import Tx


async def verify_email(tx: Tx, ask: Link) -> Done:
    """Note that the address is its owner's, and that mails arrive there. Raises LinkOver."""
    user_id = await queries.spend_link(tx, token_hash(ask.token), Purpose.VERIFY_EMAIL)
    if user_id is None:
        raise LinkOver
    if await queries.verify_email(tx, user_id):
        tx.emit(AddressVerified(user_id=user_id))
    return Done()


async def verify_again(tx: Tx, ask: Nothing) -> Accepted:
    """Send the caller a fresh link: whoever reads it shows that mails to the address arrive."""
    del ask
    user_id = tx.actor.user_id
    if user_id is None:
        raise Unauthenticated
    token = link_token()
    await queries.add_link(tx, user_id, Purpose.VERIFY_EMAIL, token_hash(token), tx.now + LINK_LASTS)
    tx.emit(AddressDoubted(user_id=user_id, token=token))
    return Accepted()


async def note_undeliverable(tx: Tx, ask: NoteUndeliverable, *, cipher: Cipher) -> None:
    """Note that nobody is at a user's address; nothing if they have another one by now."""
    if await queries.note_undeliverable(tx, ask.user_id, email_hash_of(ask.email, cipher)):
        tx.emit(AddressUndeliverable(user_id=ask.user_id))
