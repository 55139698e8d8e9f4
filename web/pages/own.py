"""What belongs to whoever is signed in: the account, its security, a patient's record."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import StringConstraints

from server.accounts import (
    ChangeMe,
    ConfirmTotp,
    Me,
    Passwords,
    SessionAsk,
    StepUp,
    Throttle,
    change_me,
    confirm_totp,
    end_own_session,
    enrol_totp,
    list_own_sessions,
    read_me,
    step_up,
)
from server.consultations import ListConsultations, list_consultations
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.errors import Problem, StepUpRequired
from server.core.ids import SessionId
from server.core.limits import LOGIN
from server.core.models import Ask, Nothing, time_zones
from server.core.privacy import Level
from server.core.routes import (
    Route,
    SeeOther,
    as_patient,
    form,
    get,
    in_second_step,
    is_stepped_up,
    page,
    post,
    redirect,
    signed_in,
)
from server.core.settings import Settings
from server.core.tx import Role, Run, Tx
from server.doctors import doctor
from web.account_views import AccountView, SecurityView, SessionItem
from web.pages.meeting import prescriptions_of
from web.views import RecordView

Text = Annotated[str, StringConstraints(max_length=400), Level.CRITICAL]


class AccountForm(Ask):
    """Name, phone, language, zone."""

    name: Text = ""
    phone: Text = ""
    language: Text = "en"
    time_zone: Text = "Asia/Kolkata"


class ConfirmForm(Ask):
    """The password again; the code where there is a second factor."""

    password: Text = ""
    otp: Text = ""


class CodeForm(Ask):
    """The first code of a new authenticator."""

    otp: Text = ""


class EndForm(Ask):
    """One of one's own sessions."""

    id: SessionId


async def show_account(tx: Tx, ask: Nothing, *, cipher: Cipher) -> AccountView:
    """The form."""
    return _account(await read_me(tx, ask, cipher=cipher))


async def change_account(run: Run, ask: AccountForm, *, cipher: Cipher) -> SeeOther | AccountView:
    """Save it; the language of the pages follows."""
    fields = {**ask.model_dump(), "phone": ask.phone or None}
    try:
        await run(partial(change_me, cipher=cipher), build(ChangeMe, fields))
    except Problem as problem:
        me = await run.read(partial(read_me, cipher=cipher), Nothing())
        return AccountView(
            email=me.email,
            **ask.model_dump(),
            time_zones=sorted(time_zones()),
        ).refused(problem)
    return SeeOther(
        location="/account", language=ask.language if ask.language in ("en", "hi") else None, notice="saved"
    )


async def show_security(run: Run, ask: Nothing, *, cipher: Cipher, settings: Settings) -> SecurityView:
    """The second factor and the sessions; who was sent here to confirm finds the form for it."""
    del ask
    return await _security(run, cipher, settings, must_confirm=not is_stepped_up(run.actor, run.now))


async def confirm_by_form(
    run: Run, ask: ConfirmForm, *, cipher: Cipher, settings: Settings, passwords: Passwords, throttle: Throttle
) -> SeeOther | SecurityView:
    """The step-up: good for ten minutes."""
    fields = {"password": ask.password} | ({"otp": ask.otp} if ask.otp else {})
    try:
        await step_up(run, build(StepUp, fields), cipher=cipher, passwords=passwords, throttle=throttle)
    except Problem as problem:
        return await _security(run, cipher, settings, must_confirm=True, problem=problem)
    return SeeOther(location="/security", refresh_session=True)


async def begin_totp(run: Run, ask: Nothing, *, cipher: Cipher, settings: Settings) -> SecurityView:
    """Show a fresh secret, once, as text and as a QR code."""
    if not is_stepped_up(run.actor, run.now):
        return await _security(run, cipher, settings, must_confirm=True, problem=StepUpRequired())
    try:
        made = await run(partial(enrol_totp, cipher=cipher), ask)
    except Problem as problem:
        return await _security(run, cipher, settings, problem=problem)
    return await _security(run, cipher, settings, secret=made.secret, otpauth_url=made.otpauth_url)


async def confirm_totp_by_form(
    run: Run, ask: CodeForm, *, cipher: Cipher, settings: Settings, passwords: Passwords, throttle: Throttle
) -> SecurityView:
    """The first code switches it on; the recovery codes are shown, once."""
    try:
        done = await confirm_totp(
            run,
            build(ConfirmTotp, {"otp": ask.otp.replace(" ", "")}),
            settings=settings,
            cipher=cipher,
            passwords=passwords,
            throttle=throttle,
        )
    except Problem as problem:
        return await _security(run, cipher, settings, problem=problem)
    return await _security(
        run, cipher, settings, recovery_codes=done.recovery_codes, begin_session=done.session_token, enabled=True
    )


async def end_session_by_form(tx: Tx, ask: EndForm) -> SeeOther:
    """End one of one's sessions."""
    await end_own_session(tx, SessionAsk(id=ask.id))
    return SeeOther(location="/security", notice="session-ended")


async def show_record(tx: Tx, ask: Nothing, *, cipher: Cipher) -> RecordView:
    """A patient's prescriptions, newest first."""
    del ask
    listed = await list_consultations(tx, ListConsultations(when="past", limit=50))
    items = [
        item
        for held in listed.items
        for item in await prescriptions_of(tx, held, (await doctor(tx, held.doctor_id)).name, cipher)
    ]
    return RecordView(prescriptions=items)


def _account(me: Me) -> AccountView:
    return AccountView(
        email=me.email,
        name=me.name,
        phone=me.phone or "",
        language=me.language,
        time_zone=me.time_zone,
        time_zones=sorted(time_zones()),
    )


async def _security(
    run: Run,
    cipher: Cipher,
    settings: Settings,
    *,
    must_confirm: bool = False,
    problem: Problem | None = None,
    secret: str | None = None,
    otpauth_url: str | None = None,
    recovery_codes: list[str] | None = None,
    begin_session: str | None = None,
    enabled: bool = False,
) -> SecurityView:
    me = await run.read(partial(read_me, cipher=cipher), Nothing())
    sessions = await run.read(list_own_sessions, Nothing())
    return SecurityView(
        mfa_enabled=me.mfa_enabled or enabled,
        mfa_required=me.role in (Role.DOCTOR, Role.ADMIN) and not settings.demo,
        must_confirm=must_confirm,
        secret=secret,
        otpauth_url=otpauth_url,
        recovery_codes=recovery_codes or [],
        begin_session=begin_session,
        sessions=[
            SessionItem(id=item.id, created_at=item.created_at, last_seen_at=item.last_seen_at, this_one=item.this_one)
            for item in sessions.items
        ],
    ).refused(problem)


def routes(settings: Settings, cipher: Cipher, passwords: Passwords, throttle: Throttle) -> list[Route]:
    """The pages of one's own."""
    security = page("security.html")
    entering = {"cipher": cipher, "settings": settings, "passwords": passwords, "throttle": throttle}
    return [
        get("/account", partial(show_account, cipher=cipher), access=signed_in, reply=page("account.html")),
        post(
            "/account",
            partial(change_account, cipher=cipher),
            access=signed_in,
            body=form,
            reply=page("account.html"),
        ),
        get(
            "/security",
            partial(show_security, cipher=cipher, settings=settings),
            access=in_second_step,
            reply=security,
        ),
        post(
            "/security/confirm",
            partial(confirm_by_form, **entering),
            access=signed_in,
            budget=LOGIN,
            body=form,
            reply=security,
        ),
        post(
            "/security/totp",
            partial(begin_totp, cipher=cipher, settings=settings),
            access=in_second_step,
            budget=LOGIN,
            body=form,
            reply=security,
        ),
        post(
            "/security/totp/confirm",
            partial(confirm_totp_by_form, **entering),
            access=in_second_step,
            budget=LOGIN,
            body=form,
            reply=security,
        ),
        post("/security/sessions/{id}/end", end_session_by_form, access=signed_in, body=form, reply=redirect),
        get("/record", partial(show_record, cipher=cipher), access=as_patient, reply=page("record.html")),
    ]
