"""Enrol, confirm and remove the second factor: TOTP (RFC 6238: SHA-1, 6 digits, 30 s) with recovery codes."""

from __future__ import annotations

import base64
import secrets

from pyotp import random_base32
from pyotp.totp import TOTP

from server.accounts import queries
from server.accounts.events import SecondFactorChanged
from server.accounts.models import ConfirmTotp, TotpConfirmed, TotpSecret
from server.accounts.passwords import Passwords
from server.accounts.people import open_field
from server.accounts.problems import FirstCodeWrong, TotpAbsent, TotpEnrolled
from server.accounts.second_factor import CODE, matching_step, secret_place
from server.accounts.session import begin_session, end_all_sessions
from server.accounts.throttle import Throttle
from server.core.cipher import Cipher
from server.core.edge.calls import csrf_token
from server.core.errors import FieldError, Unauthenticated
from server.core.ids import UserId, new_id
from server.core.models import Done, Nothing
from server.core.settings import Settings
from server.core.tx import Run, Tx

ISSUER = "Amrutam"
RECOVERY_CODES = 10
RECOVERY_BYTES = 10


async def enrol_totp(tx: Tx, ask: Nothing, *, cipher: Cipher) -> TotpSecret:
    """A fresh secret that waits for its first code; asking again makes another. Raises TotpEnrolled."""
    user_id = _user(tx)
    secret = random_base32(32)
    row_id = new_id(tx.now)
    sealed = await cipher.seal(tx, user_id, secret_place(row_id), secret)
    if not await queries.pend_totp(tx, row_id, user_id, sealed):
        raise TotpEnrolled
    row = await queries.user_by_id(tx, user_id)
    assert row is not None
    email = await open_field(tx, user_id, "email", row["email"], cipher)
    return TotpSecret(secret=secret, otpauth_url=TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))


async def confirm_totp(
    run: Run, ask: ConfirmTotp, *, settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle
) -> TotpConfirmed:
    """Switch the second factor on with its first code, which is thereby used up; other sessions end.

    A session that could only enrol is replaced by a full one. Raises FirstCodeWrong, TotpAbsent, TooManyTries.
    """
    if run.actor.user_id is None:
        raise Unauthenticated
    user_id = run.actor.user_id
    await throttle.take_code(str(user_id))

    async def check(tx: Tx, ask: ConfirmTotp) -> int:
        return await _step_of_first_code(tx, user_id, ask.otp, cipher)

    step = await run.read(check, ask)
    await throttle.code_passed(str(user_id))
    codes = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    hashes = await passwords.hash_all(codes)

    async def confirm(tx: Tx, ask: ConfirmTotp) -> TotpConfirmed:
        row = await queries.totp(tx, user_id)
        if row is None or not await queries.confirm_totp(tx, row["id"], user_id, step):
            raise TotpAbsent
        await queries.replace_recovery_codes(tx, user_id, hashes)
        tx.emit(SecondFactorChanged(user_id=user_id, change="on"))
        shown = ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in codes]
        if not tx.actor.second_step:
            await end_all_sessions(tx, user_id, but=tx.actor.session_id)
            return TotpConfirmed(recovery_codes=shown)
        await end_all_sessions(tx, user_id)
        token = await begin_session(tx, user_id, second_step=False)
        return TotpConfirmed(
            recovery_codes=shown,
            session_token=token,
            token=token if ask.token else None,
            csrf_token=csrf_token(settings, token),
        )

    return await run(confirm, ask)


async def remove_totp(tx: Tx, ask: Nothing) -> Done:
    """Switch the second factor off; other sessions end. Raises TotpAbsent."""
    user_id = _user(tx)
    if not await queries.remove_totp(tx, user_id):
        raise TotpAbsent
    await end_all_sessions(tx, user_id, but=tx.actor.session_id)
    tx.emit(SecondFactorChanged(user_id=user_id, change="off"))
    return Done()


async def _step_of_first_code(tx: Tx, user_id: UserId, otp: str, cipher: Cipher) -> int:
    row = await queries.totp(tx, user_id)
    if row is None:
        raise TotpAbsent
    if row["confirmed_at"] is not None:
        raise TotpEnrolled
    code = otp.replace(" ", "")
    secret = await cipher.open(tx, user_id, secret_place(row["id"]), row["secret"])
    step = matching_step(secret, code, tx.now) if CODE.fullmatch(code) else None
    if step is None:
        raise FirstCodeWrong(
            errors=[FieldError(field="otp", code="otp-wrong", message="This code does not fit the new authenticator.")]
        )
    return step


def _user(tx: Tx) -> UserId:
    if tx.actor.user_id is None:
        raise Unauthenticated
    return tx.actor.user_id
