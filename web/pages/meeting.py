"""A patient's consultations: the list, and one of them from the device check to the papers afterwards."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Annotated
from uuid import uuid4

from pydantic import StringConstraints

from server.booking import CancelBooking, Reschedule, cancel_booking, cancellation, reschedule
from server.consultations import (
    Consultation,
    ListConsultations,
    ListMessages,
    Message,
    OfConsultation,
    Status,
    WriteMessage,
    as_either,
    check_in,
    list_consultations,
    list_messages,
    meeting,
    party_to_consultation,
    patient_of_consultation,
    reader_of_consultation,
    waiting_place,
    write_message,
)
from server.core.cipher import Cipher
from server.core.ids import ConsultationId, SlotId
from server.core.models import Ask, Prose
from server.core.outbox import room_offset
from server.core.privacy import Level
from server.core.routes import Document, Reply, Route, SeeOther, as_patient, form, get, page, post, redirect
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.doctors import doctor
from server.notifications import calendar_of
from server.prescriptions import Prescription, list_prescriptions
from server.scheduling import bookable_from, next_free_slots
from web.pages.booking import Key
from web.views import (
    ChatFileItem,
    ConsultationCard,
    ConsultationItem,
    ConsultationView,
    DoctorItem,
    MeetingState,
    MessageItem,
    MyConsultationsView,
    NoticeItem,
    PrescriptionItem,
    SlotItem,
)

CHECK_IN_OPENS = timedelta(minutes=30)
LATEST_SHOWN = 60


def latest_of(id_: ConsultationId) -> ListMessages:
    """What a page shows of the chat: its end."""
    return ListMessages(id=id_, before=2**31 - 1, limit=LATEST_SHOWN)


class ShowList(Ask):
    """Where the list of what was goes on."""

    cursor: Annotated[str, StringConstraints(max_length=200), Level.INTERNAL] = ""


class CancelForm(Ask):
    """The patient cancels."""

    id: ConsultationId
    idempotency_key: Key


class MoveForm(Ask):
    """The patient moves it to another slot of the same doctor."""

    id: ConsultationId
    slot_id: SlotId
    idempotency_key: Key


class MessageForm(Ask):
    """A line of the chat, sent without script."""

    id: ConsultationId
    client_id: Annotated[str, StringConstraints(max_length=64), Level.INTERNAL] = ""
    text: Annotated[Prose, Level.CRITICAL]


async def show_list(tx: Tx, ask: ShowList, *, cipher: Cipher, settings: Settings) -> MyConsultationsView:
    """What comes, soonest first, and what was, newest first."""
    coming = await list_consultations(tx, ListConsultations(when="upcoming", limit=20))
    past = await list_consultations(tx, ListConsultations(when="past", limit=10, cursor=ask.cursor or None))
    return MyConsultationsView(
        coming=[await _card(tx, item, cipher, settings) for item in coming.items],
        past=[await _card(tx, item, cipher, settings) for item in past.items],
        next_url=f"/consultations?cursor={past.next_cursor}" if past.next_cursor else None,
    )


async def show_consultation(tx: Tx, ask: OfConsultation, *, cipher: Cipher, settings: Settings) -> ConsultationView:
    """One consultation as its patient sees it now; the room keeps it true from `offset` on."""
    found = await meeting(tx, ask, cipher=cipher)
    held = found.consultation
    messages: list[MessageItem] = []
    read, more = 0, False
    if held.confirmed_at is not None and held.status is not Status.CANCELLED:
        listed = await list_messages(tx, latest_of(ask.id), cipher=cipher)
        messages = message_items(listed.items)
        read, more = listed.read_by_other, listed.next_cursor is not None
    place = await waiting_place(tx, ask) if held.is_waiting else None
    cancelled = held.status is Status.CANCELLED
    others = await next_free_slots(tx, held.doctor_id, bookable_from(tx.now, settings), 4) if cancelled else []
    return ConsultationView(
        consultation=ConsultationItem.model_validate(held),
        doctor=DoctorItem.model_validate(await doctor(tx, held.doctor_id)),
        patient_name=found.patient_name,
        state=state_of(held),
        messages=messages,
        position=place.position if place else None,
        estimated_start=place.estimated_start if place else None,
        earliest=place.earliest if place else None,
        latest=place.latest if place else None,
        notice=NoticeItem.model_validate(place.notice) if place and place.notice else None,
        read_by_other=read,
        transferred_at=held.transferred_at,
        more_before=more,
        prescriptions=await prescriptions_of(tx, held, found.doctor_name, cipher),
        calendar_url=f"/consultations/{held.id}/calendar.ics" if held.confirmed_at else None,
        alternatives=[SlotItem.model_validate(item) for item in others],
        room=f"consultation:{held.id}",
        offset=await room_offset(tx, f"consultation:{held.id}"),
        idempotency_key=uuid4().hex,
        check_in_opens_at=None if settings.demo else held.start_time - CHECK_IN_OPENS,
    )


async def check_in_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """The patient is here."""
    await check_in(tx, ask, cipher=cipher, settings=settings)
    return SeeOther(location=f"/consultations/{ask.id}")


async def cancel_by_form(run: Run, ask: CancelForm, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Cancel; again is once."""
    await run.once(
        partial(cancel_booking, cipher=cipher, settings=settings),
        CancelBooking(id=ask.id),
        key=ask.idempotency_key,
        route="POST /consultations/{id}/cancel",
        result=Consultation,
    )
    return SeeOther(location="/consultations", notice="cancelled")


async def move_by_form(run: Run, ask: MoveForm, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Move to another time; the payment goes along."""
    await run.once(
        partial(reschedule, cipher=cipher, settings=settings),
        Reschedule(id=ask.id, slot_id=ask.slot_id),
        key=ask.idempotency_key,
        route="POST /consultations/{id}/reschedule",
        result=Consultation,
    )
    return SeeOther(location=f"/consultations/{ask.id}", notice="moved")


async def say_by_form(tx: Tx, ask: MessageForm, *, cipher: Cipher) -> SeeOther:
    """Send a line."""
    client_id = ask.client_id or uuid4().hex
    await write_message(tx, WriteMessage(id=ask.id, client_id=client_id, text=ask.text), cipher=cipher)
    return SeeOther(location=f"/consultations/{ask.id}#chat")


async def calendar_page(tx: Tx, ask: OfConsultation, *, cipher: Cipher, settings: Settings) -> Document:
    """The calendar file, the same that the mail carries."""
    content = await calendar_of(tx, ask.id, cipher=cipher, settings=settings)
    return Document(content=content, media_type="text/calendar", filename="consultation.ics")


def message_items(messages: list[Message]) -> list[MessageItem]:
    """Lines of the chat, oldest first."""
    return [
        MessageItem(
            id=message.id,
            number=message.number,
            sender_role=message.sender_role,
            client_id=message.client_id,
            text=message.text,
            attachment=ChatFileItem.model_validate(message.attachment) if message.attachment else None,
            created_at=message.created_at,
        )
        for message in sorted(messages, key=lambda message: message.number)
    ]


def state_of(held: Consultation) -> MeetingState:
    """The page's state before any script runs."""
    if held.status in (Status.COMPLETED, Status.CANCELLED):
        return "ended"
    if held.status is Status.ACTIVE:
        return "connecting"
    if held.confirmed_at is None:
        return "unpaid"
    if held.called_at is not None:
        return "called"
    return "waiting" if held.checked_in_at is not None else "checking"


async def prescriptions_of(tx: Tx, held: Consultation, doctor_name: str, cipher: Cipher) -> list[PrescriptionItem]:
    """The prescriptions of a consultation, with the addresses of their papers."""
    if held.started_at is None:
        return []
    listed = await list_prescriptions(tx, OfConsultation(id=held.id), cipher=cipher)
    return [prescription_item(item, doctor_name) for item in listed.items]


def prescription_item(head: Prescription, doctor_name: str) -> PrescriptionItem:
    """A prescription as lists show it."""
    return PrescriptionItem(
        id=head.id,
        issued_at=head.issued_at,
        doctor_name=doctor_name,
        consultation_id=head.consultation_id,
        pdf_urls={language: f"/prescriptions/{head.id}.pdf?language={language}" for language in ("en", "hi")},
        page_url=f"/prescriptions/{head.id}",
    )


async def _card(tx: Tx, held: Consultation, cipher: Cipher, settings: Settings) -> ConsultationCard:
    found = await doctor(tx, held.doctor_id)
    terms = await cancellation(tx, held, settings) if held.status is Status.PENDING else None
    return ConsultationCard(
        consultation=ConsultationItem.model_validate(held),
        doctor=DoctorItem.model_validate(found),
        prescriptions=await prescriptions_of(tx, held, found.name, cipher),
        refund_minor=terms.refund_minor if terms else None,
        refund_until=terms.until if terms else None,
        idempotency_key=uuid4().hex,
    )


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The patient's pages of consultations."""
    patient = as_patient.and_("patient of the consultation", patient_of_consultation)
    return [
        get(
            "/consultations",
            partial(show_list, cipher=cipher, settings=settings),
            access=as_patient,
            reply=page("my_consultations.html"),
        ),
        post(
            "/consultations/{id}/check-in",
            partial(check_in_by_form, cipher=cipher, settings=settings),
            access=patient,
            body=form,
            reply=redirect,
        ),
        post(
            "/consultations/{id}/cancel",
            partial(cancel_by_form, cipher=cipher, settings=settings),
            access=as_patient.and_("party to the consultation", party_to_consultation),
            body=form,
            reply=redirect,
        ),
        post(
            "/consultations/{id}/reschedule",
            partial(move_by_form, cipher=cipher, settings=settings),
            access=patient,
            body=form,
            reply=redirect,
        ),
        post(
            "/consultations/{id}/messages",
            partial(say_by_form, cipher=cipher),
            access=as_either.and_("reader of the chat", reader_of_consultation),
            body=form,
            reply=redirect,
        ),
        get(
            "/consultations/{id}/calendar.ics",
            partial(calendar_page, cipher=cipher, settings=settings),
            access=patient,
            reply=Reply("download", media_type="text/calendar"),
        ),
    ]
