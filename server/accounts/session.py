"""Sessions: opaque, stored hashed, ended by idling, by age or by somebody (SECURITY S1-S4, B8)."""

from __future__ import annotations

from datetime import timedelta

from server.accounts import queries
from server.accounts.events import SessionEnded
from server.accounts.models import FindSession, LoggedOut, OwnSession, OwnSessions, SessionAsk
from server.accounts.tokens import session_token, token_hash
from server.core.errors import NotFound
from server.core.ids import SessionId, UserId, new_id
from server.core.models import Done, Nothing
from server.core.settings import Settings
from server.core.tx import Actor, Role, Tx

LONGEST = timedelta(hours=12)
SECOND_STEP = timedelta(minutes=15)
PATIENT_IDLE = timedelta(minutes=30)
STAFF_IDLE = timedelta(minutes=15)
DEMO_IDLE = timedelta(hours=8)


class DatabaseSessions:
    """What the edge asks for sessions that its cache does not know."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def find(self, tx: Tx, token_hash: bytes) -> Actor | None:
        """Whose live session this is, noting that it was used; None for an unknown or ended one."""
        return await find_session(tx, FindSession(token_hash=token_hash), settings=self._settings)


async def find_session(tx: Tx, ask: FindSession, *, settings: Settings) -> Actor | None:
    """The actor of a live session, which counts as used now."""
    patient_idle, staff_idle = (DEMO_IDLE, DEMO_IDLE) if settings.demo else (PATIENT_IDLE, STAFF_IDLE)
    row = await queries.find_session(tx, ask.token_hash, patient_idle, staff_idle)
    if row is None:
        return None
    return Actor(
        role=Role(row["role"]),
        user_id=row["user_id"],
        patient_id=row["patient_id"],
        patient_n=row["patient_n"],
        doctor_id=row["doctor_id"],
        session_id=row["id"],
        second_step=row["kind"] == "second-step",
        auth_at=row["auth_at"],
        language=row["language"],
        time_zone=row["time_zone"],
    )


async def begin_session(tx: Tx, user_id: UserId, *, second_step: bool) -> str:
    """Begin a session; its token, which is nowhere else. The one that the caller had is over."""
    if tx.actor.session_id is not None and tx.actor.user_id is not None:
        await end_session(tx, tx.actor.user_id, tx.actor.session_id)
    token = session_token(user_id)
    lasts, kind = (SECOND_STEP, "second-step") if second_step else (LONGEST, "full")
    await queries.add_session(tx, SessionId(new_id(tx.now)), token_hash(token), user_id, kind, tx.now + lasts)
    return token


async def touch_session(tx: Tx, session_id: SessionId) -> None:
    """A live socket with input, or a call, counts as use."""
    await queries.touch_session(tx, session_id)


async def end_session(tx: Tx, user_id: UserId, session_id: SessionId) -> bool:
    """End one session of a user; False if there is no such live one."""
    if not await queries.end_session(tx, session_id, user_id):
        return False
    tx.emit(SessionEnded(user_id=user_id, session_id=session_id))
    return True


async def end_all_sessions(tx: Tx, user_id: UserId, *, but: SessionId | None = None) -> int:
    """End every session of a user, but perhaps the one in which that was asked; how many ended."""
    ended = await queries.end_sessions(tx, user_id, but)
    tx.emit(SessionEnded(user_id=user_id, except_session_id=but))
    return ended


async def log_out(tx: Tx, ask: Nothing) -> LoggedOut:
    """End the caller's session."""
    assert tx.actor.user_id is not None
    assert tx.actor.session_id is not None
    await end_session(tx, tx.actor.user_id, tx.actor.session_id)
    return LoggedOut()


async def list_own_sessions(tx: Tx, ask: Nothing) -> OwnSessions:
    """The caller's live sessions."""
    assert tx.actor.user_id is not None
    rows = await queries.own_sessions(tx, tx.actor.user_id)
    return OwnSessions(items=[OwnSession(**dict(row), this_one=row["id"] == tx.actor.session_id) for row in rows])


async def end_own_session(tx: Tx, ask: SessionAsk) -> Done:
    """End one of the caller's sessions. Raises NotFound."""
    assert tx.actor.user_id is not None
    if not await end_session(tx, tx.actor.user_id, ask.id):
        raise NotFound
    return Done()
