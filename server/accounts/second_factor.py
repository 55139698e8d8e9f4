"""The second factor of a login or step-up: a code of the authenticator, or a recovery code (SECURITY B2-B4, B6)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

from pyotp.totp import TOTP

from server.accounts import queries
from server.accounts.events import LoginFailed, SecondFactorChanged
from server.accounts.passwords import Passwords
from server.accounts.problems import OtpRequired, OtpWrong
from server.accounts.session import end_all_sessions
from server.accounts.throttle import Throttle
from server.core.cipher import Cipher, Place
from server.core.ids import UserId
from server.core.tx import Run, Tx

STEP_SECONDS = 30
CODE = re.compile(r"[0-9]{6}", re.ASCII)
RECOVERY_CODE = re.compile(r"[A-Z2-7]{16}", re.ASCII)


async def require_second_factor(
    run: Run, user_id: UserId, otp: str | None, *, cipher: Cipher, passwords: Passwords, throttle: Throttle
) -> None:
    """Check and use up a code. Raises OtpRequired, OtpWrong, or TooManyTries after five wrong ones."""
    if otp is None:
        raise OtpRequired
    code = otp.replace(" ", "")
    await throttle.take_code(str(user_id))
    if CODE.fullmatch(code):
        passed = await run(_spend_code(user_id, code, cipher), None)
    else:
        passed = await _spend_recovery_code(run, user_id, code.replace("-", "").upper(), passwords)
    if not passed:
        await run(_note_wrong_code(user_id), None)
        raise OtpWrong
    await throttle.code_passed(str(user_id))


def step_of(now: datetime) -> int:
    """The time step of a moment (RFC 6238 section 4.2)."""
    return int(now.timestamp()) // STEP_SECONDS


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """The time step, at most one away from now, whose code this is; the latest if several are."""
    totp = TOTP(secret)
    current = step_of(now)
    found: int | None = None
    for step in (current - 1, current, current + 1):
        if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode()):
            found = step
    return found


def secret_place(row_id: UUID) -> Place:
    """Where an authenticator's secret is sealed for."""
    return Place("totp_credentials", "secret", row_id)


def _spend_code(user_id: UserId, code: str, cipher: Cipher) -> Callable[[Tx, None], Awaitable[bool]]:
    async def spend(tx: Tx, ask: None) -> bool:
        row = await queries.totp(tx, user_id)
        if row is None or row["confirmed_at"] is None:
            return False
        secret = await cipher.open(tx, user_id, secret_place(row["id"]), row["secret"])
        step = matching_step(secret, code, tx.now)
        return step is not None and await queries.spend_step(tx, user_id, step)

    return spend


async def _spend_recovery_code(run: Run, user_id: UserId, code: str, passwords: Passwords) -> bool:
    if not RECOVERY_CODE.fullmatch(code):
        return False

    async def left(tx: Tx, ask: None) -> list[tuple[UUID, str]]:
        return [(row["id"], row["code_hash"]) for row in await queries.recovery_codes(tx, user_id)]

    codes = await run.read(left, None)
    index = await passwords.which([code_hash for _, code_hash in codes], code)
    if index is None:
        return False

    async def spend(tx: Tx, ask: None) -> bool:
        if not await queries.spend_recovery_code(tx, codes[index][0], user_id):
            return False
        # Whoever watched a code being typed shall not use it beside the recovery code: the window is burnt.
        await queries.spend_step(tx, user_id, step_of(tx.now) + 1)
        await end_all_sessions(tx, user_id, but=tx.actor.session_id)
        tx.emit(SecondFactorChanged(user_id=user_id, change="recovery-code-used"))
        return True

    return await run(spend, None)


def _note_wrong_code(user_id: UserId) -> Callable[[Tx, None], Awaitable[None]]:
    async def note(tx: Tx, ask: None) -> None:
        tx.emit(LoginFailed(user_id=user_id, why="code"))

    return note
