"""Waiting for a time: the list of wishes, and the offer of a time that came free. Also who comes without one."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Any, Literal, cast
from zoneinfo import ZoneInfo

from pydantic import StringConstraints

from server.accounts import USER
from server.booking import BookSlot, FollowUp, WalkIn, book_follow_up, book_slot, walk_in
from server.consultations import Consultation, treating_doctor
from server.core.cipher import Cipher
from server.core.errors import Conflict, FieldError, Forbidden, Invalid, Problem
from server.core.ids import ConsultationId, DoctorId
from server.core.limits import BOOKING
from server.core.models import Ask, Nothing
from server.core.outbox import room_offset
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_doctor, as_patient, form, get, page, post, public, redirect
from server.core.settings import Settings
from server.core.tx import Actor, Role, Run, Tx
from server.doctors import ChangeDoctor, change_doctor, doctor
from server.scheduling import (
    ByToken,
    JoinWaitlist,
    LinkToken,
    Offer,
    OneWish,
    decline_by_token,
    decline_offer,
    is_own_wish,
    join_waitlist,
    leave_waitlist,
    list_wishes,
    offer_of_token,
)
from web.pages.booking import Key, Text
from web.views import DoctorItem
from web.waitlist_views import OfferView, WaitlistView, WishItem

DAY = timedelta(days=1)
Wall = Annotated[str, StringConstraints(strip_whitespace=True, max_length=20), Level.INTERNAL]


class JoinForm(Ask):
    """From the first day to the last, as a browser's date fields give them, by the patient's own clock."""

    id: DoctorId
    first: date
    last: date


class AnswerForm(Ask):
    """The offer's two buttons."""

    token: LinkToken
    answer: Literal["yes", "no"]
    consent: bool = False


class ShowOffer(Ask):
    """The link of the mail; what a telephone shows has no token."""

    token: LinkToken | None = None


class WalkInForm(Ask):
    """The patient comes now."""

    id: DoctorId
    reason: Text = ""
    consent: bool = False
    idempotency_key: Key


class FollowUpForm(Ask):
    """The doctor's next time for a patient, by the doctor's wall clock."""

    id: ConsultationId
    at: Wall = ""
    free_of_charge: bool = False
    idempotency_key: Key


class WalkInsForm(Ask):
    """Whether people may come without an appointment."""

    walk_ins: Literal["yes", "no"]


async def show_waitlist(tx: Tx, ask: Nothing, *, settings: Settings) -> WaitlistView:
    """Where the patient waits, and what is kept for them now."""
    wishes = await list_wishes(tx, ask)
    room = USER.of(user_id=tx.actor.user_id)
    return WaitlistView(
        wishes=[
            WishItem(
                id=wish.id,
                doctor=DoctorItem.model_validate(await doctor(tx, wish.doctor_id)),
                from_time=wish.from_time,
                to_time=wish.to_time,
                offered_slot_id=wish.offered_slot_id,
                offered_start_time=wish.offered_start_time,
                offered_until=wish.offered_until,
            )
            for wish in wishes.items
        ],
        room=room,
        offset=await room_offset(tx, room),
        minutes=settings.offer_minutes,
    )


async def join_by_form(tx: Tx, ask: JoinForm) -> SeeOther:
    """Wait for a time of these days."""
    zone = ZoneInfo(tx.actor.time_zone)
    begins = max(tx.now, datetime.combine(ask.first, time(), zone))
    ends = datetime.combine(ask.last + DAY, time(), zone)
    await join_waitlist(tx, JoinWaitlist(doctor_id=ask.id, from_time=begins, to_time=ends))
    return SeeOther(location="/waitlist", notice="waiting")


async def leave_by_form(tx: Tx, ask: OneWish) -> SeeOther:
    """Wait no longer."""
    await leave_waitlist(tx, ask)
    return SeeOther(location="/waitlist")


async def decline_by_form(tx: Tx, ask: OneWish) -> SeeOther:
    """Not this time; the next in line is asked."""
    await decline_offer(tx, ask)
    return SeeOther(location="/waitlist", notice="declined")


async def show_offer(tx: Tx, ask: ShowOffer, *, settings: Settings) -> SeeOther | OfferView:
    """The offer of the mail's link, and what became of it."""
    if ask.token is None:
        return SeeOther(location="/waitlist")
    return await _offer_view(tx, ask.token, settings)


async def answer_offer(run: Run, ask: AnswerForm, *, cipher: Cipher, settings: Settings) -> SeeOther | OfferView:
    """Yes books in the name of the one who was asked: the link is theirs, good for this time alone, and spent by it."""

    async def view(tx: Tx, problem: Problem | None) -> OfferView:
        return await _offer_view(tx, ask.token, settings, problem, consent=ask.consent)

    if ask.answer == "no":
        try:
            await run(decline_by_token, ByToken(token=ask.token))
        except Conflict as problem:
            return await run.read(view, problem)
        return await run.read(view, None)
    if not ask.consent:
        missing = Invalid(errors=[FieldError(field="consent", code="consent", message="Consent is needed.")])
        return await run.read(view, missing)
    offer = await run.read(offer_of_token, ByToken(token=ask.token))
    if offer.ended_as not in (None, "booked"):
        return await run.read(view, None)
    try:
        booked = await run.acting_as(_in_the_name_of(offer)).once(
            partial(book_slot, cipher=cipher, settings=settings),
            BookSlot(slot_id=offer.slot_id),
            key=f"offer-{offer.id}",
            route="POST /consultations",
            result=Consultation,
            at_once=True,
        )
    except (Conflict, Forbidden) as problem:
        return await run.read(view, problem)
    return SeeOther(location=_after(booked), notice="booked" if booked.confirmed_at is not None else None)


async def walk_in_by_form(run: Run, ask: WalkInForm, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Come now: to the checkout, or straight into the waiting room."""
    if not ask.consent:
        raise Invalid(errors=[FieldError(field="consent", code="consent", message="Consent is needed.")])
    held = await run.once(
        partial(walk_in, cipher=cipher, settings=settings),
        WalkIn(id=ask.id, reason=ask.reason or None),
        key=ask.idempotency_key,
        route="POST /doctors/{id}/walk-in",
        result=Consultation,
    )
    return SeeOther(location=_after(held))


async def follow_up_by_form(run: Run, ask: FollowUpForm, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Book the patient's next time."""
    try:
        at = datetime.fromisoformat(ask.at).replace(tzinfo=ZoneInfo(run.actor.time_zone))
    except ValueError:
        raise Invalid(errors=[FieldError(field="at", code="value_error", message="This is no time.")]) from None
    await run.once(
        partial(book_follow_up, cipher=cipher, settings=settings),
        FollowUp(id=ask.id, start_time=at, free_of_charge=ask.free_of_charge),
        key=ask.idempotency_key,
        route="POST /consultations/{id}/follow-up",
        result=Consultation,
    )
    return SeeOther(location=f"/consultations/{ask.id}", notice="follow-up")


async def change_walk_ins(tx: Tx, ask: WalkInsForm) -> SeeOther:
    """Let people come without an appointment, or no longer."""
    assert tx.actor.doctor_id is not None
    await change_doctor(tx, ChangeDoctor(id=tx.actor.doctor_id, walk_ins=ask.walk_ins == "yes"))
    return SeeOther(location="/queue", notice="saved")


def _after(held: Consultation) -> str:
    return f"/consultations/{held.id}" if held.confirmed_at is not None else f"/checkout/{held.payment.id}"


def _in_the_name_of(offer: Offer) -> Actor:
    return Actor(role=Role.PATIENT, user_id=offer.user_id, patient_id=offer.patient_id, patient_n=offer.patient_n)


async def _offer_view(
    tx: Tx, token: str, settings: Settings, problem: Problem | None = None, *, consent: bool = False
) -> OfferView:
    offer = await offer_of_token(tx, ByToken(token=token))
    answer = offer.ended_as or ("expired" if offer.offered_until <= tx.now else None)
    return OfferView(
        token=token,
        doctor=DoctorItem.model_validate(await doctor(tx, offer.doctor_id)),
        start_time=offer.start_time,
        end_time=offer.end_time,
        until=offer.offered_until,
        minutes=settings.offer_minutes,
        consent=consent,
        answer=cast("Any", answer),
    ).refused(problem, problem=problem.code if problem and not problem.errors else None)


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The pages of waiting, of coming without an appointment, and of coming again."""
    own_wish = as_patient.and_("own wish", is_own_wish)
    return [
        get("/waitlist", partial(show_waitlist, settings=settings), access=as_patient, reply=page("waitlist.html")),
        post("/doctors/{id}/waitlist", join_by_form, access=as_patient, body=form, reply=redirect),
        post("/waitlist/{id}/leave", leave_by_form, access=own_wish, body=form, reply=redirect),
        post("/waitlist/{id}/decline", decline_by_form, access=own_wish, body=form, reply=redirect),
        get("/waitlist/offer", partial(show_offer, settings=settings), access=public, reply=page("offer.html")),
        post(
            "/waitlist/offer",
            partial(answer_offer, cipher=cipher, settings=settings),
            access=public,
            body=form,
            budget=BOOKING,
            reply=page("offer.html"),
        ),
        post(
            "/doctors/{id}/walk-in",
            partial(walk_in_by_form, cipher=cipher, settings=settings),
            access=as_patient,
            body=form,
            budget=BOOKING,
            reply=redirect,
        ),
        post(
            "/consultations/{id}/follow-up",
            partial(follow_up_by_form, cipher=cipher, settings=settings),
            access=as_doctor.and_("treating doctor of the consultation", treating_doctor),
            body=form,
            reply=redirect,
        ),
        post("/walk-ins", change_walk_ins, access=as_doctor, body=form, reply=redirect),
    ]
