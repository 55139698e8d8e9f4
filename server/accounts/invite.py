"""An administrator makes an account for a doctor or a colleague, who sets its password by the invitation's link."""

from __future__ import annotations

from datetime import timedelta

from server.accounts import queries
from server.accounts.events import DoctorInvited
from server.accounts.models import InviteUser, Purpose
from server.accounts.problems import AddressTaken
from server.accounts.registration import add_user
from server.accounts.tokens import link_token, token_hash
from server.core.cipher import Cipher
from server.core.ids import UserId
from server.core.tx import Tx

INVITATION_LASTS = timedelta(hours=24)


async def invite_user(tx: Tx, ask: InviteUser, *, cipher: Cipher) -> UserId:
    """Make the account; the invitation goes out by mail unless it comes with a password. Raises AddressTaken."""
    user_id = await add_user(tx, ask, cipher=cipher, verified=ask.password_hash is not None)
    if user_id is None:
        raise AddressTaken
    if ask.password_hash is None:
        token = link_token()
        await queries.add_link(tx, user_id, Purpose.INVITATION, token_hash(token), tx.now + INVITATION_LASTS)
        tx.emit(DoctorInvited(user_id=user_id, token=token))
    return user_id
