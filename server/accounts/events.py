"""What accounts tells the house. Tokens travel sealed in the outbox, to the step that mails them, and nowhere else."""

from __future__ import annotations

from typing import Annotated, ClassVar

from server.core.edge.identity import sessions_key
from server.core.events import Event, Room
from server.core.ids import SessionId, UserId, user_tag
from server.core.privacy import Level

USER = Room("user:{user_id}", cleared=Level.CRITICAL)


class UserRegistered(Event, name="user.registered"):
    """A patient registered; the token of the link that verifies the address goes out by mail."""

    user_id: UserId
    token: Annotated[str, Level.CRITICAL]


class AddressKnown(Event, name="user.address_known"):
    """Somebody registered with an address that has an account: its owner gets a mail that says so."""

    user_id: UserId


class AddressVerified(Event, name="user.address_verified"):
    """The owner of an address followed its link."""

    user_id: UserId


class AddressDoubted(Event, name="user.address_doubted"):
    """The owner of an account asked for the mail with the verifying link again."""

    user_id: UserId
    token: Annotated[str, Level.CRITICAL]


class AddressUndeliverable(Event, name="user.address_undeliverable"):
    """Mail to this user's address came back for good."""

    user_id: UserId


class DoctorInvited(Event, name="user.invited"):
    """An administrator made an account for somebody, who sets its password by the token's link."""

    user_id: UserId
    token: Annotated[str, Level.CRITICAL]


class ResetRequested(Event, name="user.reset_requested"):
    """Somebody asked for a new password; the token's link goes out by mail."""

    user_id: UserId
    token: Annotated[str, Level.CRITICAL]


class PasswordChanged(Event, name="user.password_changed"):
    """The password is another one: a notice goes out by mail."""

    user_id: UserId


class SecondFactorChanged(Event, name="user.second_factor_changed"):
    """The second factor was switched on or off, or a recovery code was used: a notice goes out by mail."""

    user_id: UserId
    change: Annotated[str, Level.INTERNAL]
    """on, off or recovery-code-used."""


class LoginFailed(Event, name="user.login_failed"):
    """A wrong password or code, for known and unknown accounts alike (the work is the same for both)."""

    user_id: UserId | None
    why: Annotated[str, Level.INTERNAL]


class ProfileChanged(Event, name="user.profile_changed"):
    """Name, language, zone or the like changed; cached sessions hold some of it."""

    user_id: UserId

    def stale_keys(self) -> list[str]:
        return [sessions_key(user_tag(self.user_id))]


class SessionEnded(Event, name="user.session_ended"):
    """A session ended, or all of a user (session_id None): every process closes the sockets at once."""

    control: ClassVar[bool] = True

    user_id: UserId
    session_id: SessionId | None = None
    except_session_id: SessionId | None = None
    """With session_id None: the one that goes on (its owner changed the password there)."""

    def stale_keys(self) -> list[str]:
        return [sessions_key(user_tag(self.user_id))]
