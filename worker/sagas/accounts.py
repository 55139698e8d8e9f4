"""Accounts: what a registration, a known address and an invitation send."""

from __future__ import annotations

from server.accounts import (
    AddressKnown,
    DoctorInvited,
    PasswordChanged,
    ResetRequested,
    SecondFactorChanged,
    UserRegistered,
)
from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import Letter, write_letter
from worker.registry import on


@on(UserRegistered)
async def mail_verification(tx: Tx, event: UserRegistered, *, cipher: Cipher, settings: Settings) -> None:
    """Ask the new owner of an account whether the address is theirs."""
    letter = Letter(
        kind="verify_email",
        user_id=event.user_id,
        cause=f"registered:{event.user_id}",
        link=f"{settings.public_url}/verify?token={event.token}",
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)


@on(AddressKnown)
async def mail_known_address(tx: Tx, event: AddressKnown, *, cipher: Cipher, settings: Settings) -> None:
    """Tell the owner that somebody registered with their address; at most once an hour."""
    letter = Letter(kind="address_known", user_id=event.user_id, cause=f"known:{event.user_id}:{tx.now:%Y-%m-%dT%H}")
    await write_letter(tx, letter, cipher=cipher, settings=settings)


@on(DoctorInvited)
async def mail_invitation(tx: Tx, event: DoctorInvited, *, cipher: Cipher, settings: Settings) -> None:
    """Send a doctor the page to choose a password on."""
    letter = Letter(
        kind="invitation",
        user_id=event.user_id,
        cause=f"invited:{event.user_id}:{tx.now.isoformat()}",
        link=f"{settings.public_url}/invitation?token={event.token}",
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)


@on(ResetRequested)
async def mail_reset(tx: Tx, event: ResetRequested, *, cipher: Cipher, settings: Settings) -> None:
    """Send the page to choose a new password on."""
    letter = Letter(
        kind="reset_password",
        user_id=event.user_id,
        cause=f"reset:{event.user_id}:{tx.now.isoformat()}",
        link=f"{settings.public_url}/reset?token={event.token}",
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)


@on(PasswordChanged)
async def mail_password_notice(tx: Tx, event: PasswordChanged, *, cipher: Cipher, settings: Settings) -> None:
    """Tell the owner that the password is another one."""
    letter = Letter(
        kind="password_changed", user_id=event.user_id, cause=f"password:{event.user_id}:{tx.now.isoformat()}"
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)


@on(SecondFactorChanged)
async def mail_factor_notice(tx: Tx, event: SecondFactorChanged, *, cipher: Cipher, settings: Settings) -> None:
    """Tell the owner that the second factor changed, or that a recovery code was used."""
    letter = Letter(
        kind="second_factor_changed", user_id=event.user_id, cause=f"factor:{event.user_id}:{tx.now.isoformat()}"
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)
