"""What accounts takes and gives."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from server.accounts.addresses import EmailAddress, PhoneNumber
from server.accounts.passwords import Password
from server.core.ids import DoctorId, PatientId, SessionId, UserId
from server.core.models import Ask, Instant, Line, Model, Name, TimeZone, Token
from server.core.privacy import Level
from server.core.tx import Role

Language = Annotated[str, StringConstraints(pattern=r"^(en|hi)$"), Level.PUBLIC]
PersonName = Annotated[Name, Level.SENSITIVE]
Secret = Annotated[Token, Level.CRITICAL]
Code = Annotated[Line, StringConstraints(max_length=40), Level.CRITICAL]
WallTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$"), Level.INTERNAL]


class Sex(StrEnum):
    """As FHIR's administrative gender."""

    FEMALE = "female"
    MALE = "male"
    OTHER = "other"
    UNKNOWN = "unknown"


class Purpose(StrEnum):
    """What a one-time link is for."""

    VERIFY_EMAIL = "verify-email"
    RESET_PASSWORD = "reset-password"  # noqa: S105 - a purpose
    INVITATION = "invitation"


class Accepted(Model):
    """The same answer whether the address has an account or not."""

    accepted: bool = True


class Register(Ask):
    """A patient registers. The role is never taken from here."""

    email: EmailAddress
    password: Password
    name: PersonName
    phone: PhoneNumber | None = None
    language: Language = "en"
    time_zone: TimeZone = "Asia/Kolkata"


class AddPatient(Ask):
    """A patient's account with its password's hash. `verified` only where no mail is sent: demo accounts."""

    email: EmailAddress
    password_hash: Annotated[str, Level.CRITICAL]
    name: PersonName
    phone: PhoneNumber | None = None
    language: Language = "en"
    time_zone: TimeZone = "Asia/Kolkata"
    verified: bool = False


class InviteUser(Ask):
    """An account without a password until its owner accepts; a demo account comes with one."""

    email: EmailAddress
    name: PersonName
    role: Role
    phone: PhoneNumber | None = None
    language: Language = "en"
    time_zone: TimeZone = "Asia/Kolkata"
    password_hash: Annotated[str, Level.CRITICAL] | None = None


class Link(Ask):
    """A one-time link's token, from the form of its page."""

    token: Secret


class RequestReset(Ask):
    """Whose password is forgotten."""

    email: EmailAddress


class SetPassword(Ask):
    """A new password by a one-time link (reset or invitation)."""

    token: Secret
    password: Password


class ChangePassword(Ask):
    """A new password by a signed-in user who stepped up."""

    password: Password


class LogIn(Ask):
    """`otp` is a code of the authenticator or a recovery code; `token` asks for the session's token in the reply."""

    email: EmailAddress
    password: Password
    otp: Code | None = None
    token: bool = False


class StepUp(Ask):
    """The password again, and the second factor where there is one."""

    password: Password
    otp: Code | None = None


class ConfirmTotp(Ask):
    """The first code of a new authenticator."""

    otp: Code
    token: bool = False


class Reminders(Model):
    """By which ways reminders come."""

    mail: bool = True
    sms: bool = True


class Ways(Model):
    """By which ways one kind of news comes."""

    model_config = ConfigDict(strict=True)

    mail: bool = True
    sms: bool = True
    push: bool = True


class AccountWays(Model):
    """The same of the account's news, which always come by mail: who guards an account must hear of it."""

    model_config = ConfigDict(strict=True)

    mail: Literal[True] = True
    sms: bool = True
    push: bool = True


class Channels(Model):
    """By which ways each kind of news comes. A booking's news that no chosen way can carry come by mail."""

    model_config = ConfigDict(strict=True)

    reminders: Ways = Ways()
    booking: Ways = Ways()
    account: AccountWays = AccountWays()


class QuietHours(Model):
    """Hours of the user's own clock in which what can wait waits; `to` before `from` is on the next day."""

    model_config = ConfigDict(strict=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    from_wall: WallTime = Field(validation_alias="from", serialization_alias="from")
    to_wall: WallTime = Field(validation_alias="to", serialization_alias="to")

    @model_validator(mode="after")
    def are_not_the_whole_day(self) -> Self:
        if self.from_wall == self.to_wall:
            raise ValueError("must end at another time than they begin")
        return self


class Me(Model):
    """A user as they see themselves."""

    id: UserId
    role: Role
    doctor_id: DoctorId | None
    patient_id: PatientId | None
    name: PersonName
    email: Annotated[str, Level.SENSITIVE]
    phone: Annotated[str, Level.SENSITIVE] | None
    language: Annotated[str, Level.PUBLIC]
    time_zone: TimeZone
    birth_date: Annotated[date, Level.CRITICAL] | None
    sex: Annotated[Sex, Level.CRITICAL] | None
    reminders: Reminders
    channels: Channels
    quiet_hours: QuietHours | None
    email_verified: bool
    email_undeliverable: bool
    """Mails to the address come back: nothing but what its owner asks for is sent there."""
    mfa_enabled: bool
    second_step: bool
    """This session may only enrol a second factor."""


class ChangeMe(Ask):
    """What a user may change of themselves; absent is unchanged, null takes away (phone, birth_date, sex, quiet_hours).

    Of `channels` what is named is set. `reminders` is the older name of the mail and SMS of `channels.reminders`.
    """

    name: PersonName | None = None
    phone: PhoneNumber | None = None
    language: Language | None = None
    time_zone: TimeZone | None = None
    birth_date: Annotated[date, Level.CRITICAL] | None = None
    sex: Annotated[Sex, Level.CRITICAL] | None = None
    reminders: Reminders | None = None
    channels: Channels | None = None
    quiet_hours: QuietHours | None = None


class LoggedIn(Model):
    """A session has begun. `session_token` becomes the cookie; `token` repeats it for who asked for it."""

    session_token: Annotated[str, Level.CRITICAL]
    token: Annotated[str, Level.CRITICAL] | None = None
    csrf_token: Annotated[str, Level.CRITICAL]
    second_step: bool
    me: Me


class LoggedOut(Model):
    """The session has ended; the cookie goes."""

    done: bool = True


class SteppedUp(Model):
    """Until when what needs a step-up is open."""

    until: Instant

    @property
    def keeps_session(self) -> bool:
        """The cookie stays as it is."""
        return True


class TotpSecret(Model):
    """Shown once: the secret in base32, and the same as the address of a QR code."""

    secret: Annotated[str, Level.CRITICAL]
    otpauth_url: Annotated[str, Level.CRITICAL]


class TotpConfirmed(Model):
    """Shown once. A session that only enrolled ends; a full one takes its place."""

    recovery_codes: Annotated[list[str], Level.CRITICAL]
    session_token: Annotated[str, Level.CRITICAL] | None = None
    token: Annotated[str, Level.CRITICAL] | None = None
    csrf_token: Annotated[str, Level.CRITICAL] | None = None

    @property
    def keeps_session(self) -> bool:
        """Whether the cookie stays as it is."""
        return self.session_token is None


class OwnSession(Model):
    """One of a user's live sessions."""

    id: SessionId
    created_at: Instant
    last_seen_at: Instant
    expires_at: Instant
    this_one: bool


class OwnSessions(Model):
    """All of them, newest first."""

    items: list[OwnSession]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class SessionAsk(Ask):
    """One of one's own sessions."""

    id: SessionId


class UserAsk(Ask):
    """A user, by an administrator."""

    id: UserId


class ListUsers(Ask):
    """A page of users, newest first."""

    role: Role | None = None
    cursor: Annotated[Token, Level.PUBLIC] | None = None


class UserRow(Model):
    """A user as an administrator sees them: class 3, nothing of class 4."""

    id: UserId
    role: Role
    name: PersonName
    email: Annotated[str, Level.SENSITIVE]
    email_verified: bool
    mfa_enabled: bool
    has_password: bool
    disabled_at: Instant | None
    created_at: Instant


class Users(Model):
    """A page of users."""

    items: list[UserRow]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class Person(Model):
    """Somebody to write to or to name: what mails, documents and pages need."""

    user_id: UserId
    role: Role
    name: PersonName
    email: Annotated[str, Level.SENSITIVE]
    phone: Annotated[str, Level.SENSITIVE] | None
    language: Annotated[str, Level.PUBLIC]
    time_zone: TimeZone
    channels: Channels
    quiet_hours: QuietHours | None
    undeliverable: bool
    patient_id: PatientId | None = None
    doctor_id: DoctorId | None = None


class NoteUndeliverable(Ask):
    """Mail to this address of a user came back for good."""

    user_id: UserId
    email: Annotated[str, Level.SENSITIVE]


class FindSession(Ask):
    """A session by its token's hash."""

    token_hash: Annotated[bytes, Level.CRITICAL]


class FindUser(Ask):
    """An account by its address."""

    email: EmailAddress


class FoundUser(Model):
    """An account that was found."""

    user_id: UserId
    role: Role
    patient_id: PatientId | None
    doctor_id: DoctorId | None
    password_hash: Annotated[str, Level.CRITICAL] | None


class GivePassword(Ask):
    """A password's hash for an account."""

    user_id: UserId
    password_hash: Annotated[str, Level.CRITICAL]
