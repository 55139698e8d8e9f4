"""What an administrator does with users: list them, shut one out, let one in again."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from server.accounts import queries
from server.accounts.events import ProfileChanged
from server.accounts.models import ListUsers, UserAsk, UserRow, Users
from server.accounts.people import open_field
from server.accounts.problems import NotYourself
from server.accounts.session import end_all_sessions
from server.core.cipher import Cipher, Erased
from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import UserId
from server.core.tx import Role, Tx

PAGE = 50
GONE = "—"


async def list_users(tx: Tx, ask: ListUsers, *, cipher: Cipher) -> Users:
    """Users, newest first, fifty at a time. Raises Invalid for a cursor that is not ours."""
    try:
        below = UUID(ask.cursor) if ask.cursor is not None else None
    except ValueError:
        raise Invalid(errors=[FieldError(field="cursor", code="cursor", message="Not one of our cursors.")]) from None
    rows = await queries.users(tx, ask.role, below, PAGE + 1)
    items = [await _user_row(tx, row, cipher) for row in rows[:PAGE]]
    return Users(items=items, next_cursor=str(items[-1].id) if len(rows) > PAGE else None)


async def disable_user(tx: Tx, ask: UserAsk, *, cipher: Cipher) -> UserRow:
    """Shut a user out: all sessions and keys end at once. A second call changes nothing. Raises NotFound."""
    if ask.id == tx.actor.user_id:
        raise NotYourself
    if await queries.disable(tx, ask.id):
        await end_all_sessions(tx, ask.id)
    return await _read(tx, ask.id, cipher)


async def enable_user(tx: Tx, ask: UserAsk, *, cipher: Cipher) -> UserRow:
    """Let a user in again. Raises NotFound."""
    if await queries.enable(tx, ask.id):
        tx.emit(ProfileChanged(user_id=ask.id))
    return await _read(tx, ask.id, cipher)


async def _read(tx: Tx, user_id: UserId, cipher: Cipher) -> UserRow:
    row = await queries.user_by_id(tx, user_id)
    if row is None:
        raise NotFound
    return await _user_row(tx, row, cipher)


async def _user_row(tx: Tx, row: Record, cipher: Cipher) -> UserRow:
    user_id = UserId(row["id"])
    try:
        name = await open_field(tx, user_id, "name", row["name"], cipher)
        email = await open_field(tx, user_id, "email", row["email"], cipher)
    except Erased:
        name, email = GONE, GONE
    return UserRow(
        id=user_id,
        role=Role(row["role"]),
        name=name,
        email=email,
        email_verified=row["email_verified_at"] is not None,
        mfa_enabled=row["mfa_enabled"],
        has_password=row["password_hash"] is not None,
        disabled_at=row["disabled_at"],
        created_at=row["created_at"],
    )
