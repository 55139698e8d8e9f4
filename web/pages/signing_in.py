"""Signing in and out, registering, and the one-time links of mails. Opening a link uses nothing up; its button does."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

from pydantic import StringConstraints

from server.accounts import (
    Link,
    LogIn,
    OtpRequired,
    Passwords,
    Register,
    RequestReset,
    SetPassword,
    Throttle,
    accept_invitation,
    log_in,
    log_out,
    register,
    request_reset,
    reset_password,
    verify_email,
)
from server.core.cipher import Cipher, Unreadable
from server.core.edge.bodies import build
from server.core.errors import Problem
from server.core.limits import LOGIN, MAILING
from server.core.models import Ask, Nothing
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, form, get, in_second_step, page, post, public
from server.core.settings import Settings
from server.core.tx import Role, Run, Tx
from web.account_views import (
    CheckMailView,
    ForgotView,
    InvitationView,
    LoginView,
    RegisterView,
    ResetView,
    SecondStepView,
    VerifyMailView,
)

TICKET_MINUTES = 5
Text = Annotated[str, StringConstraints(max_length=400), Level.CRITICAL]
DEMO_ACCOUNTS = ["patient1@example.org", "doctor1@example.org", "admin@example.org"]


class ShowLogin(Ask):
    """Where to go afterwards."""

    next: Text = ""


class LoginForm(Ask):
    """E-mail and password; `otp` for those who type it at once."""

    email: Text = ""
    password: Text = ""
    otp: Text = ""
    next: Text = ""


class SecondStepForm(Ask):
    """The code, and the sealed proof of the first step."""

    ticket: Annotated[str, StringConstraints(max_length=4000), Level.CRITICAL] = ""
    otp: Text = ""
    next: Text = ""


class RegisterForm(Ask):
    """A patient's new account."""

    email: Text = ""
    password: Text = ""
    name: Text = ""
    phone: Text = ""
    language: Text = "en"
    time_zone: Text = "Asia/Kolkata"
    next: Text = ""


class TokenForm(Ask):
    """A one-time link."""

    token: Text = ""


class PasswordForm(Ask):
    """A one-time link and the password that it sets."""

    token: Text = ""
    password: Text = ""
    name: Text = ""


class ForgotForm(Ask):
    """Whose password is forgotten."""

    email: Text = ""


async def show_login(tx: Tx, ask: ShowLogin, *, settings: Settings) -> LoginView:
    """The form."""
    del tx
    return LoginView(next=_inside(ask.next), demo_accounts=DEMO_ACCOUNTS if settings.demo else [])


async def log_in_by_form(
    run: Run, ask: LoginForm, *, settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle
) -> SeeOther | LoginView | SecondStepView:
    """Sign in and go on; the second step is asked on a page of its own."""
    fields = {"email": ask.email, "password": ask.password} | ({"otp": ask.otp} if ask.otp else {})
    try:
        done = await log_in(
            run, build(LogIn, fields), settings=settings, cipher=cipher, passwords=passwords, throttle=throttle
        )
    except OtpRequired:
        ticket = _ticket(cipher, run.now, ask.email, ask.password)
        return SecondStepView(ticket=ticket, next=_inside(ask.next))
    except Problem as problem:
        return LoginView(
            email=ask.email,
            next=_inside(ask.next),
            demo_accounts=DEMO_ACCOUNTS if settings.demo else [],
        ).refused(problem, problem="wrong-password" if problem.code == "invalid" else problem.code, errors=())
    if done.second_step:
        return SeeOther(location="/security", begin_session=done.session_token)
    home = {Role.DOCTOR: "/queue", Role.ADMIN: "/admin"}.get(done.me.role, "/")
    return SeeOther(location=_inside(ask.next) or home, begin_session=done.session_token)


async def second_step_by_form(
    run: Run, ask: SecondStepForm, *, settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle
) -> SeeOther | SecondStepView:
    """Finish a login with a code of the authenticator, or a recovery code."""
    first = _of_ticket(cipher, run.now, ask.ticket)
    if first is None:
        return SeeOther(location="/login")
    again = LoginForm(email=first[0], password=first[1], otp=ask.otp.replace(" ", ""), next=ask.next)
    done = await log_in_by_form(run, again, settings=settings, cipher=cipher, passwords=passwords, throttle=throttle)
    if isinstance(done, LoginView):
        return SecondStepView(
            ticket=ask.ticket, next=ask.next, problem=done.problem, problem_text=done.problem_text, errors=done.errors
        )
    return done


async def log_out_by_form(tx: Tx, ask: Nothing) -> SeeOther:
    """End the session."""
    await log_out(tx, ask)
    return SeeOther(location="/", end_session=True, notice="logged-out")


async def show_register(tx: Tx, ask: ShowLogin) -> RegisterView:
    """The form."""
    return RegisterView(next=_inside(ask.next), language=tx.actor.language, time_zone=tx.actor.time_zone)


async def register_by_form(
    run: Run, ask: RegisterForm, *, cipher: Cipher, passwords: Passwords
) -> SeeOther | RegisterView:
    """Register; the answer is the same whether the address is known or not."""
    fields = ask.model_dump(exclude={"next"})
    fields["phone"] = ask.phone or None
    try:
        await register(run, build(Register, fields), cipher=cipher, passwords=passwords)
    except Problem as problem:
        return RegisterView(
            **ask.model_dump(exclude={"password"}),
        ).refused(problem)
    return SeeOther(location="/check-mail")


async def show_check_mail(tx: Tx, ask: Nothing) -> CheckMailView:
    """A mail has gone out."""
    del tx, ask
    return CheckMailView()


async def show_verify(tx: Tx, ask: TokenForm) -> VerifyMailView:
    """The button. Nothing is used up."""
    del tx
    return VerifyMailView(token=ask.token)


async def verify_by_form(run: Run, ask: TokenForm) -> VerifyMailView:
    """The address is verified, or the link is over."""
    try:
        await run(verify_email, build(Link, {"token": ask.token}))
    except Problem as problem:
        return VerifyMailView(token=ask.token).refused(problem)
    return VerifyMailView(token=ask.token, done=True)


async def show_invitation(tx: Tx, ask: TokenForm) -> InvitationView:
    """The form of an invited doctor. Nothing is used up."""
    del tx
    return InvitationView(token=ask.token)


async def accept_by_form(
    run: Run, ask: PasswordForm, *, cipher: Cipher, passwords: Passwords
) -> SeeOther | InvitationView:
    """Set the first password, then sign in."""
    try:
        wanted = build(SetPassword, {"token": ask.token, "password": ask.password})
        await accept_invitation(run, wanted, cipher=cipher, passwords=passwords)
    except Problem as problem:
        return InvitationView(token=ask.token).refused(problem)
    return SeeOther(location="/login", notice="password-set")


async def show_forgot(tx: Tx, ask: Nothing) -> ForgotView:
    """The form for a forgotten password."""
    del tx, ask
    return ForgotView()


async def forgot_by_form(run: Run, ask: ForgotForm, *, cipher: Cipher) -> ForgotView:
    """Ask for the mail; the answer is the same whoever the address belongs to."""
    try:
        await request_reset(run, build(RequestReset, {"email": ask.email}), cipher=cipher)
    except Problem as problem:
        return ForgotView(email=ask.email).refused(problem)
    return ForgotView(email=ask.email, sent=True)


async def show_reset(tx: Tx, ask: TokenForm) -> ResetView:
    """The form for the new password. Nothing is used up."""
    del tx
    return ResetView(token=ask.token)


async def reset_by_form(run: Run, ask: PasswordForm, *, cipher: Cipher, passwords: Passwords) -> SeeOther | ResetView:
    """Set the new password, then sign in."""
    try:
        wanted = build(SetPassword, {"token": ask.token, "password": ask.password})
        await reset_password(run, wanted, cipher=cipher, passwords=passwords)
    except Problem as problem:
        return ResetView(token=ask.token).refused(problem)
    return SeeOther(location="/login", notice="password-set")


def _inside(path: str) -> str:
    """A way back that stays in the house; anything else is none."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else ""


def _ticket(cipher: Cipher, now: datetime, email: str, password: str) -> str:
    """Both, sealed, for the five minutes until the code is typed: nothing is kept on our side."""
    until = (now + timedelta(minutes=TICKET_MINUTES)).timestamp()
    return base64.urlsafe_b64encode(
        cipher.seal_system("login ticket", json.dumps([until, email, password]).encode())
    ).decode()


def _of_ticket(cipher: Cipher, now: datetime, ticket: str) -> tuple[str, str] | None:
    try:
        until, email, password = json.loads(cipher.open_system("login ticket", base64.urlsafe_b64decode(ticket)))
    except (Unreadable, ValueError):
        return None
    return (email, password) if until > now.timestamp() else None


def routes(settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle) -> list[Route]:
    """The pages before there is a session, and the one that ends it."""
    entering = {"settings": settings, "cipher": cipher, "passwords": passwords, "throttle": throttle}
    setting = {"cipher": cipher, "passwords": passwords}
    login, second, invited = page("login.html"), page("login_second_step.html"), page("invitation.html")
    return [
        get("/login", partial(show_login, settings=settings), access=public, reply=login),
        post("/login", partial(log_in_by_form, **entering), access=public, budget=LOGIN, body=form, reply=login),
        post(
            "/login/second-step",
            partial(second_step_by_form, **entering),
            access=public,
            budget=LOGIN,
            body=form,
            reply=second,
        ),
        post("/logout", log_out_by_form, access=in_second_step, body=form, reply=page("login.html")),
        get("/register", show_register, access=public, reply=page("register.html")),
        post(
            "/register",
            partial(register_by_form, **setting),
            access=public,
            budget=MAILING,
            body=form,
            reply=page("register.html"),
        ),
        get("/check-mail", show_check_mail, access=public, reply=page("check_mail.html")),
        get("/verify", show_verify, access=public, reply=page("verify_mail.html")),
        post("/verify", verify_by_form, access=public, budget=LOGIN, body=form, reply=page("verify_mail.html")),
        get("/invitation", show_invitation, access=public, reply=invited),
        post(
            "/invitation",
            partial(accept_by_form, **setting),
            access=public,
            budget=LOGIN,
            body=form,
            reply=invited,
        ),
        get("/forgot", show_forgot, access=public, reply=page("forgot.html")),
        post(
            "/forgot",
            partial(forgot_by_form, cipher=cipher),
            access=public,
            budget=MAILING,
            body=form,
            reply=page("forgot.html"),
        ),
        get("/reset", show_reset, access=public, reply=page("reset.html")),
        post(
            "/reset",
            partial(reset_by_form, **setting),
            access=public,
            budget=LOGIN,
            body=form,
            reply=page("reset.html"),
        ),
    ]
