"""What can be asked of accounts."""

from __future__ import annotations

from functools import partial

from server.accounts.login import log_in, step_up
from server.accounts.me import change_me, read_me
from server.accounts.passwords import Passwords
from server.accounts.problems import (
    AddressUnverified,
    FirstCodeWrong,
    LinkOver,
    NotYourself,
    OtpRequired,
    OtpWrong,
    TotpAbsent,
    TotpEnrolled,
    WrongPassword,
)
from server.accounts.registration import register
from server.accounts.session import end_own_session, list_own_sessions, log_out
from server.accounts.set_password import accept_invitation, change_password, request_reset, reset_password
from server.accounts.throttle import Throttle, TooManyTries
from server.accounts.totp import confirm_totp, enrol_totp, remove_totp
from server.accounts.users import disable_user, enable_user, list_users
from server.accounts.verify import verify_again, verify_email
from server.core.cipher import Cipher
from server.core.errors import Invalid, NotFound, Unavailable
from server.core.limits import LOGIN, MAILING
from server.core.routes import (
    EVERY_ROLE,
    Access,
    Route,
    as_admin,
    delete,
    get,
    in_second_step,
    patch,
    post,
    public,
    session_cookie,
    signed_in,
    stepped_up,
)
from server.core.settings import Settings

TAGS = ("accounts",)
# A login counts as a step-up, so a session that may only enrol passes here too.
stepped_up_to_enrol = Access("signed in or in the second step, stepped up", EVERY_ROLE, step_up=True, second_step=True)


def routes(settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle) -> list[Route]:
    """The lines of accounts."""
    return [
        post(
            "/auth/register",
            partial(register, cipher=cipher, passwords=passwords),
            status=202,
            access=public,
            budget=MAILING,
            raises=[Invalid, Unavailable],
            tags=TAGS,
        ),
        post("/auth/verify", verify_email, access=public, budget=LOGIN, raises=[LinkOver], tags=TAGS),
        post("/auth/verify/again", verify_again, status=202, access=signed_in, budget=MAILING, tags=TAGS),
        post(
            "/auth/login",
            partial(log_in, settings=settings, cipher=cipher, passwords=passwords, throttle=throttle),
            access=public,
            budget=LOGIN,
            reply=session_cookie,
            raises=[WrongPassword, OtpRequired, OtpWrong, AddressUnverified, TooManyTries, Unavailable],
            tags=TAGS,
        ),
        post("/auth/logout", log_out, access=in_second_step, reply=session_cookie, tags=TAGS),
        post(
            "/auth/step-up",
            partial(step_up, cipher=cipher, passwords=passwords, throttle=throttle),
            access=signed_in,
            budget=LOGIN,
            reply=session_cookie,
            raises=[WrongPassword, OtpRequired, OtpWrong, TooManyTries, Unavailable],
            tags=TAGS,
        ),
        post(
            "/auth/reset",
            partial(request_reset, cipher=cipher),
            status=202,
            access=public,
            budget=MAILING,
            tags=TAGS,
        ),
        post(
            "/auth/reset/confirm",
            partial(reset_password, cipher=cipher, passwords=passwords),
            access=public,
            budget=LOGIN,
            raises=[LinkOver, Invalid, Unavailable],
            tags=TAGS,
        ),
        post(
            "/auth/invitation",
            partial(accept_invitation, cipher=cipher, passwords=passwords),
            access=public,
            budget=LOGIN,
            raises=[LinkOver, Invalid, Unavailable],
            tags=TAGS,
        ),
        post(
            "/auth/password",
            partial(change_password, cipher=cipher, passwords=passwords),
            access=stepped_up(signed_in),
            budget=LOGIN,
            raises=[Invalid, Unavailable],
            tags=TAGS,
        ),
        post(
            "/auth/totp",
            partial(enrol_totp, cipher=cipher),
            access=stepped_up_to_enrol,
            budget=LOGIN,
            raises=[TotpEnrolled],
            tags=TAGS,
        ),
        post(
            "/auth/totp/confirm",
            partial(confirm_totp, settings=settings, cipher=cipher, passwords=passwords, throttle=throttle),
            access=in_second_step,
            budget=LOGIN,
            reply=session_cookie,
            raises=[FirstCodeWrong, TotpAbsent, TotpEnrolled, TooManyTries, Unavailable],
            tags=TAGS,
        ),
        delete("/auth/totp", remove_totp, access=stepped_up(signed_in), raises=[TotpAbsent], tags=TAGS),
        get("/auth/sessions", list_own_sessions, access=signed_in, tags=TAGS),
        delete("/auth/sessions/{id}", end_own_session, access=signed_in, raises=[NotFound], tags=TAGS),
        get("/me", partial(read_me, cipher=cipher), access=signed_in, tags=TAGS),
        patch("/me", partial(change_me, cipher=cipher), access=signed_in, raises=[Invalid], tags=TAGS),
        get("/admin/users", partial(list_users, cipher=cipher), access=as_admin, raises=[Invalid], tags=TAGS),
        post(
            "/admin/users/{id}/disable",
            partial(disable_user, cipher=cipher),
            access=as_admin,
            raises=[NotFound, NotYourself],
            tags=TAGS,
        ),
        post(
            "/admin/users/{id}/enable",
            partial(enable_user, cipher=cipher),
            access=as_admin,
            raises=[NotFound],
            tags=TAGS,
        ),
    ]
