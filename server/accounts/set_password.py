"""New passwords: forgotten and reset, set by an invitation's link, changed by a user who stepped up."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from server.accounts import queries
from server.accounts.events import PasswordChanged, ResetRequested
from server.accounts.models import (
    Accepted,
    ChangePassword,
    FindUser,
    FoundUser,
    GivePassword,
    Purpose,
    RequestReset,
    SetPassword,
)
from server.accounts.passwords import Passwords, refuse_weak
from server.accounts.people import person
from server.accounts.problems import LinkOver
from server.accounts.registration import SAME_SECONDS, email_hash_of
from server.accounts.session import end_all_sessions
from server.accounts.tokens import link_token, token_hash
from server.core.cipher import Cipher
from server.core.ids import UserId
from server.core.models import Done
from server.core.tx import Role, Run, Tx

RESET_LASTS = timedelta(minutes=15)


async def request_reset(run: Run, ask: RequestReset, *, cipher: Cipher) -> Accepted:
    """Send a link for a new password, if the address has an account; the answer is the same in any case."""
    began = time.monotonic()

    async def send(tx: Tx, ask: RequestReset) -> None:
        row = await queries.user_by_email(tx, email_hash_of(ask.email, cipher))
        if row is None or row["disabled_at"] is not None:
            return
        token = link_token()
        await queries.add_link(tx, row["id"], Purpose.RESET_PASSWORD, token_hash(token), tx.now + RESET_LASTS)
        tx.emit(ResetRequested(user_id=row["id"], token=token))

    await run(send, ask)
    await asyncio.sleep(max(0.0, began + SAME_SECONDS - time.monotonic()))
    return Accepted()


async def reset_password(run: Run, ask: SetPassword, *, cipher: Cipher, passwords: Passwords) -> Done:
    """Set a new password by the mailed link. Ends all sessions; does not log in; leaves the second factor on.

    Raises LinkOver; Invalid for a weak password, which does not use the link up.
    """
    return await _set_by_link(run, ask, Purpose.RESET_PASSWORD, cipher, passwords)


async def accept_invitation(run: Run, ask: SetPassword, *, cipher: Cipher, passwords: Passwords) -> Done:
    """Set the first password of an invited account, whose address is thereby verified. Raises LinkOver, Invalid."""
    return await _set_by_link(run, ask, Purpose.INVITATION, cipher, passwords)


async def change_password(run: Run, ask: ChangePassword, *, cipher: Cipher, passwords: Passwords) -> Done:
    """Another password for the caller; their other sessions end. Raises Invalid for a weak one."""
    assert run.actor.user_id is not None
    user_id = run.actor.user_id
    await _refuse_weak_for(run, user_id, ask.password, cipher)
    password_hash = await passwords.hash(ask.password)

    async def change(tx: Tx, ask: ChangePassword) -> None:
        await queries.set_password(tx, user_id, password_hash)
        await end_all_sessions(tx, user_id, but=tx.actor.session_id)
        tx.emit(PasswordChanged(user_id=user_id))

    await run(change, ask)
    return Done()


async def _set_by_link(run: Run, ask: SetPassword, purpose: Purpose, cipher: Cipher, passwords: Passwords) -> Done:
    async def look(tx: Tx, ask: SetPassword) -> UserId | None:
        return await queries.read_link(tx, token_hash(ask.token), purpose)

    user_id = await run.read(look, ask)
    if user_id is None:
        raise LinkOver
    await _refuse_weak_for(run, user_id, ask.password, cipher)
    password_hash = await passwords.hash(ask.password)

    async def spend(tx: Tx, ask: SetPassword) -> None:
        spent = await queries.spend_link(tx, token_hash(ask.token), purpose)
        if spent is None:
            raise LinkOver
        await queries.set_password(tx, spent, password_hash)
        await queries.verify_email(tx, spent)
        await end_all_sessions(tx, spent)
        tx.emit(PasswordChanged(user_id=spent))

    await run(spend, ask)
    return Done()


async def _refuse_weak_for(run: Run, user_id: UserId, password: str, cipher: Cipher) -> None:
    async def whose(tx: Tx, ask: None) -> tuple[str, str]:
        owner = await person(tx, user_id, cipher)
        return owner.email, owner.name

    refuse_weak(password, *await run.read(whose, None))


async def find_user(tx: Tx, ask: FindUser, *, cipher: Cipher) -> FoundUser | None:
    """The account of an address, in any spelling; None if there is none."""
    row = await queries.user_by_email(tx, email_hash_of(ask.email, cipher))
    if row is None:
        return None
    return FoundUser(
        user_id=row["id"],
        role=Role(row["role"]),
        patient_id=row["patient_id"],
        doctor_id=row["doctor_id"],
        password_hash=row["password_hash"],
    )


async def give_password(tx: Tx, ask: GivePassword) -> Done:
    """Give an account a password without asking its owner (demo accounts). Ends all of its sessions."""
    await queries.set_password(tx, ask.user_id, ask.password_hash)
    await end_all_sessions(tx, ask.user_id)
    return Done()
