"""Log in, and step up: the password and, where there is one, the second factor (SECURITY A4, A8, B1, S5)."""

from __future__ import annotations

from asyncpg import Record

from server.accounts import queries
from server.accounts.events import LoginFailed
from server.accounts.me import me_of
from server.accounts.models import FindSession, LoggedIn, LogIn, SteppedUp, StepUp
from server.accounts.passwords import Passwords
from server.accounts.problems import AddressUnverified, WrongPassword
from server.accounts.registration import email_hash_of
from server.accounts.second_factor import require_second_factor
from server.accounts.session import begin_session, find_session
from server.accounts.throttle import Throttle
from server.accounts.tokens import token_hash
from server.core.cipher import Cipher
from server.core.edge.calls import csrf_token
from server.core.errors import Unauthenticated
from server.core.ids import UserId
from server.core.routes import STEP_UP_LASTS
from server.core.settings import Settings
from server.core.tx import Role, Run, Tx


async def log_in(
    run: Run, ask: LogIn, *, settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle
) -> LoggedIn:
    """Begin a session.

    A doctor or administrator without a second factor gets one that may only enrol it (not in the demo profile).
    Raises WrongPassword (also for an unknown address, in the same time), OtpRequired, OtpWrong, AddressUnverified,
    TooManyTries, Unavailable.
    """
    email_hash = email_hash_of(ask.email, cipher)
    account = email_hash.hex()
    await throttle.begin(account, run.actor.address)

    async def look(tx: Tx, ask: LogIn) -> Record | None:
        return await queries.user_by_email(tx, email_hash)

    row = await run.read(look, ask)
    known = row is not None and row["disabled_at"] is None
    fits = await passwords.verify(row["password_hash"] if row is not None else None, ask.password)
    if row is None or not known or not fits:
        await throttle.failed(account, run.actor.address)
        await _note_failure(run, row["id"] if row is not None else None)
        raise WrongPassword
    await throttle.passed(account)
    user_id = UserId(row["id"])
    if row["mfa_enabled"]:
        await require_second_factor(run, user_id, ask.otp, cipher=cipher, passwords=passwords, throttle=throttle)
    if row["email_verified_at"] is None and not settings.demo:
        raise AddressUnverified
    second_step = row["role"] in (Role.DOCTOR, Role.ADMIN) and not row["mfa_enabled"] and not settings.demo
    fresh_hash = await passwords.hash(ask.password) if passwords.is_outdated(row["password_hash"]) else None

    async def begin(tx: Tx, ask: LogIn) -> LoggedIn:
        if fresh_hash is not None:
            await queries.set_password(tx, user_id, fresh_hash)
        token = await begin_session(tx, user_id, second_step=second_step)
        actor = await find_session(tx, FindSession(token_hash=token_hash(token)), settings=settings)
        if actor is None:  # disabled since we looked
            raise WrongPassword
        tx.actor = actor
        return LoggedIn(
            session_token=token,
            token=token if ask.token else None,
            csrf_token=csrf_token(settings, token),
            second_step=second_step,
            me=await me_of(tx, cipher=cipher),
        )

    return await run(begin, ask)


async def step_up(run: Run, ask: StepUp, *, cipher: Cipher, passwords: Passwords, throttle: Throttle) -> SteppedUp:
    """Confirm that it is still the same person; good for ten minutes. Raises as log_in does."""
    actor = run.actor
    if actor.user_id is None or actor.session_id is None:
        raise Unauthenticated
    user_id, session_id = actor.user_id, actor.session_id

    async def look(tx: Tx, ask: StepUp) -> Record | None:
        return await queries.user_by_id(tx, user_id)

    row = await run.read(look, ask)
    account = bytes(row["email_hash"]).hex() if row is not None else str(user_id)
    await throttle.begin(account, actor.address)
    if row is None or not await passwords.verify(row["password_hash"], ask.password):
        await throttle.failed(account, actor.address)
        await _note_failure(run, user_id)
        raise WrongPassword
    await throttle.passed(account)
    if row["mfa_enabled"]:
        await require_second_factor(run, user_id, ask.otp, cipher=cipher, passwords=passwords, throttle=throttle)

    async def strengthen(tx: Tx, ask: StepUp) -> SteppedUp:
        await queries.step_up(tx, session_id)
        return SteppedUp(until=tx.now + STEP_UP_LASTS)

    return await run(strengthen, ask)


async def _note_failure(run: Run, user_id: UserId | None) -> None:
    async def note(tx: Tx, ask: None) -> None:
        tx.emit(LoginFailed(user_id=user_id, why="password"))

    await run(note, None)
