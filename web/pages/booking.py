"""Booking a slot and paying for it: forms that do what the API does, and say in words what went wrong."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal
from uuid import uuid4

from pydantic import ConfigDict, StringConstraints

from server.accounts import person
from server.booking import BookSlot, SlotPassed, SlotTaken, book_slot
from server.consultations import Consultation, consultation
from server.core.cipher import Cipher
from server.core.clock import Clock
from server.core.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, Problem
from server.core.ids import ConsultationId, PaymentId, SlotId
from server.core.limits import BOOKING
from server.core.models import Ask
from server.core.outbox import room_offset
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_patient, form, get, page, post, public, redirect, signed_form_by
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.doctors import doctor
from server.payments import AlreadyPaid, Checkout, PayInSandbox, ReadPayment, pay_in_sandbox, read_checkout, verifier
from server.scheduling import bookable_from, next_free_slots, slot
from web.views import (
    BookView,
    CheckoutView,
    ConsultationItem,
    DoctorItem,
    PayFormItem,
    PaymentItem,
    SlotItem,
)

Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=4000), Level.CRITICAL]
Key = Annotated[str, StringConstraints(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9-]+$"), Level.INTERNAL]


class ShowBooking(Ask):
    """The slot that somebody is about to book."""

    slot_id: SlotId


class BookByForm(Ask):
    """The form of the booking page."""

    slot_id: SlotId
    reason: Text = ""
    consent: bool = False
    idempotency_key: Key


class PayByForm(Ask):
    """The sandbox's two buttons."""

    id: PaymentId
    outcome: Literal["paid", "failed", "abandoned"]


class ComeBack(Ask):
    """A return from a gateway's own page, with whatever it brings."""

    model_config = ConfigDict(extra="ignore")

    id: PaymentId


async def show_booking(tx: Tx, ask: ShowBooking, *, cipher: Cipher, settings: Settings) -> BookView:
    """What is to be booked, for whom. A slot that is gone meanwhile is shown with its neighbours."""
    return await _view(tx, BookByForm(slot_id=ask.slot_id, idempotency_key=uuid4().hex), cipher, settings)


async def book_by_form(run: Run, ask: BookByForm, *, cipher: Cipher, settings: Settings) -> SeeOther | BookView:
    """Book, then go to the checkout, or to the consultation when there is nothing to pay."""
    problem: Problem
    if not ask.consent:
        problem = Invalid(errors=[FieldError(field="consent", code="consent", message="Consent is needed.")])
        return await _again(run, ask, problem, cipher, settings)
    try:
        booked = await run.once(
            partial(book_slot, cipher=cipher, settings=settings),
            BookSlot(slot_id=ask.slot_id, reason=ask.reason or None),
            key=ask.idempotency_key,
            route="POST /consultations",
            result=Consultation,
            at_once=True,
        )
    except (Conflict, Forbidden) as refused:
        return await _again(run, ask, refused, cipher, settings)
    if booked.confirmed_at is None:
        return SeeOther(location=f"/checkout/{booked.payment.id}")
    return SeeOther(location=f"/consultations/{booked.id}", notice="booked")


async def show_checkout(tx: Tx, ask: ReadPayment, *, settings: Settings) -> SeeOther | CheckoutView:
    """What is to be paid, and what is true about it now; what is paid and confirmed goes on to the consultation."""
    view = await _checkout(tx, await read_checkout(tx, ask, settings=settings))
    if view.consultation.confirmed_at is not None and view.consultation.status != "CANCELLED":
        return SeeOther(location=f"/consultations/{view.consultation.id}", notice="paid")
    return view


async def pay_by_form(run: Run, ask: PayByForm, *, settings: Settings, clock: Clock) -> SeeOther:
    """The sandbox's buttons. Who walks away keeps the time until the hold ends, and sees that among their own."""

    async def whose(tx: Tx, ask: PayByForm) -> ConsultationId:
        return (await read_checkout(tx, ReadPayment(id=ask.id), settings=settings)).consultation_id

    consultation_id = await run.read(whose, ask)
    try:
        await pay_in_sandbox(
            run, PayInSandbox(id=ask.id, outcome=ask.outcome), settings=settings, verify=verifier(settings, clock)
        )
    except AlreadyPaid:  # pressed twice, or long ago: the consultation's page says what is true
        return SeeOther(location=f"/consultations/{consultation_id}")
    if ask.outcome == "failed":
        return SeeOther(location=f"/checkout/{ask.id}")
    if ask.outcome == "abandoned":
        return SeeOther(location="/consultations")
    return SeeOther(location=f"/consultations/{consultation_id}", notice="paid")


async def come_back(tx: Tx, ask: ComeBack) -> SeeOther:
    """Where a gateway sends the patient's browser back to. What it brings is not believed: the webhook says it, too."""
    del tx
    return SeeOther(location=f"/checkout/{ask.id}")


async def _again(run: Run, ask: BookByForm, problem: Problem, cipher: Cipher, settings: Settings) -> BookView:
    async def view(tx: Tx, ask: BookByForm) -> BookView:
        return await _view(tx, ask, cipher, settings, problem)

    return await run.read(view, ask)


async def _view(
    tx: Tx, ask: BookByForm, cipher: Cipher, settings: Settings, problem: Problem | None = None
) -> BookView:
    wanted = await slot(tx, ask.slot_id)
    if wanted is None or tx.actor.user_id is None:
        raise NotFound
    if problem is None and wanted.status != "AVAILABLE":
        problem = SlotTaken()
    gone = isinstance(problem, SlotTaken | SlotPassed)
    others = await next_free_slots(tx, wanted.doctor_id, bookable_from(tx.now, settings), 4) if gone else []
    return BookView(
        doctor=DoctorItem.model_validate(await doctor(tx, wanted.doctor_id)),
        slot=SlotItem.model_validate(wanted),
        patient_name=(await person(tx, tx.actor.user_id, cipher)).name,
        reason=ask.reason,
        consent=ask.consent,
        # A lost slot needs a new act; the same act goes on with its key.
        idempotency_key=uuid4().hex if problem is not None else ask.idempotency_key,
        hold_minutes=settings.hold_minutes,
        alternatives=[SlotItem.model_validate(item) for item in others],
    ).refused(problem)


async def _checkout(tx: Tx, found: Checkout) -> CheckoutView:
    held = await consultation(tx, found.consultation_id)
    return CheckoutView(
        payment=PaymentItem.model_validate(found.payment),
        consultation=ConsultationItem.model_validate(held),
        doctor=DoctorItem.model_validate(await doctor(tx, held.doctor_id)),
        slot_is_free=held.status == "CANCELLED" and await _is_free(tx, held.slot_id),
        room=f"consultation:{held.id}",
        offset=await room_offset(tx, f"consultation:{held.id}"),
        sandbox=found.sandbox,
        pay_url=found.pay_url,
        pay_form=PayFormItem.model_validate(found.pay_form) if found.pay_form else None,
    )


async def _is_free(tx: Tx, slot_id: SlotId) -> bool:
    found = await slot(tx, slot_id)
    return found is not None and found.status == "AVAILABLE" and found.start_time > tx.now


def routes(settings: Settings, cipher: Cipher, clock: Clock) -> list[Route]:
    """The pages from a chosen slot to a paid consultation."""
    return [
        get(
            "/book",
            partial(show_booking, cipher=cipher, settings=settings),
            access=as_patient,
            reply=page("book.html"),
        ),
        post(
            "/book",
            partial(book_by_form, cipher=cipher, settings=settings),
            access=as_patient,
            body=form,
            budget=BOOKING,
            lock="slot:{slot_id}",
            reply=page("book.html"),
        ),
        get(
            "/checkout/{id}",
            partial(show_checkout, settings=settings),
            access=as_patient,
            reply=page("checkout.html"),
        ),
        post(
            "/checkout/{id}/back",
            come_back,
            access=public,
            # Nothing of it is believed, and nothing changes.
            body=signed_form_by(lambda body, headers: None, headers={}),
            reply=redirect,
        ),
        post(
            "/checkout/{id}",
            partial(pay_by_form, settings=settings, clock=clock),
            access=as_patient,
            body=form,
            reply=page("checkout.html"),
        ),
    ]
