"""What the pages of signing in and of one's own account show."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from web.views import Form, Item, View


class LoginView(Form):
    """`/login`: e-mail and password. `next` is where to go afterwards."""

    email: str = ""
    next: str = ""
    demo_accounts: Sequence[str] = ()


class SecondStepView(Form):
    """`/login/second-step`: the six digits, or a recovery code. `ticket` holds, sealed, that the password was right."""

    email: str = ""
    next: str = ""
    ticket: str = ""
    template: ClassVar[str] = "login_second_step.html"


class RegisterView(Form):
    """`/register`: a patient's account."""

    email: str = ""
    name: str = ""
    phone: str = ""
    language: str = "en"
    time_zone: str = "Asia/Kolkata"
    next: str = ""


class CheckMailView(View):
    """`/check-mail`: a mail has gone out, whoever the address belongs to."""

    email: str = ""


class VerifyMailView(Form):
    """`/verify?token=`: the button that verifies. `done` after it was pressed."""

    token: str
    done: bool = False


class ForgotView(Form):
    """`/forgot`: ask for a link to a new password. `sent` after it was asked for, whoever the address belongs to."""

    email: str = ""
    sent: bool = False


class ResetView(Form):
    """`/reset?token=`: choose a new password."""

    token: str


class InvitationView(Form):
    """`/invitation?token=`: an invited doctor chooses a password."""

    token: str
    email: str = ""
    name: str = ""


class SessionItem(Item):
    """One of a person's sessions; `this_one` is the one that looks at the page."""

    id: UUID
    created_at: datetime
    last_seen_at: datetime | None = None
    this_one: bool = False


class SecurityView(Form):
    """`/security`: the second factor, and the sessions. `otpauth_url` and `secret` while enrolling; codes once."""

    mfa_enabled: bool
    mfa_required: bool = False
    must_confirm: bool = False
    secret: str | None = None
    otpauth_url: str | None = None
    recovery_codes: Sequence[str] = ()
    begin_session: str | None = None
    sessions: Sequence[SessionItem] = ()


class AccountView(Form):
    """`/account`: name, phone, language, zone."""

    email: str
    name: str
    phone: str = ""
    language: str = "en"
    time_zone: str = "Asia/Kolkata"
    time_zones: Sequence[str] = ()
    saved: bool = False


class TellingItem(Item):
    """By which ways one kind of news comes: of reminders, booking or the account."""

    topic: Literal["reminders", "booking", "account"]
    mail: bool
    sms: bool
    push: bool
    always_mail: bool = False


class DeviceItem(Item):
    """A browser that its owner is told on."""

    id: UUID
    created_at: datetime
    this_one: bool = False


class TellingView(Form):
    """`/account/telling`: what is told by which way, when not, and on which devices. `push_key` is the server's."""

    email: str
    phone: str = ""
    undeliverable: bool = False
    topics: Sequence[TellingItem]
    quiet_from: str = ""
    quiet_to: str = ""
    time_zone: str = "Asia/Kolkata"
    push_key: str
    devices: Sequence[DeviceItem] = ()
