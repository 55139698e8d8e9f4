"""What each page shows, as frozen models: a page's handler fills one, its template reads it."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal, Self
from uuid import UUID

from pydantic import ConfigDict

from server.core.errors import Problem
from server.core.models import Model

MeetingState = Literal[
    "unpaid", "checking", "waiting", "called", "connecting", "live", "degraded", "reconnecting", "ended"
]


class View(Model):
    """The view of one page."""


class Item(Model):
    """A thing that several pages show. `SlotItem.model_validate(slot)` takes any object with these attributes."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True)


# What features hand out, in the contract's shapes


class DoctorItem(Item):
    """A doctor as everybody may see them. `fee` is in minor units; 0 is free of charge."""

    id: UUID
    name: str
    specialty: str
    languages: Sequence[str]
    fee: int
    currency: str
    time_zone: str
    about: str | None = None
    registration_number: str | None = None
    walk_ins: bool = False


class SlotItem(Item):
    """A slot as everybody may see it; status AVAILABLE or BOOKED."""

    id: UUID
    doctor_id: UUID
    start_time: datetime
    end_time: datetime
    status: str
    version: int = 0


class PaymentItem(Item):
    """A payment: pending, authorised, captured, failed, expired or refunded; `amount` in minor units."""

    id: UUID
    status: str
    amount: int
    currency: str
    checkout_url: str | None = None
    expires_at: datetime | None = None


class ConsultationItem(Item):
    """A consultation in the contract's shape; status PENDING, ACTIVE, COMPLETED or CANCELLED."""

    id: UUID
    status: str
    slot_id: UUID | None
    doctor_id: UUID
    patient_id: UUID
    start_time: datetime
    end_time: datetime
    confirmed_at: datetime | None = None
    checked_in_at: datetime | None = None
    called_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    ended_as: str | None = None
    payment: PaymentItem | None = None


class NoticeItem(Item):
    """What a doctor tells all who wait."""

    minutes: int
    reason: str
    back_at: datetime


class ChatFileItem(Item):
    """A file of the chat; `url` is there once it was checked."""

    id: UUID
    name: str
    size_bytes: int
    state: Literal["pending", "clean", "blocked"]


class MessageItem(Item):
    """A line of the chat; `sender_role` PATIENT or DOCTOR says whose."""

    id: UUID
    number: int
    sender_role: str
    client_id: str
    text: str
    attachment: ChatFileItem | None = None
    created_at: datetime


class PrescriptionItem(Item):
    """A prescription in a list; the address of its PDF per language, and of its own page where there is one."""

    id: UUID
    issued_at: datetime
    doctor_name: str
    consultation_id: UUID | None = None
    revoked: bool = False
    pdf_urls: Mapping[str, str]
    page_url: str | None = None


class FieldProblem(Item):
    """What is wrong with one field of a form; takes a FieldError of server.core.errors."""

    field: str
    code: str
    message: str


class Form(View):
    """A page with a form: what was typed comes back, what was wrong is said beside its field.

    `problem` is a code that web/problems.py has words for (`wrong-password`); `problem_text` is said where it has none.
    """

    problem: str | None = None
    problem_text: str | None = None
    errors: Sequence[FieldProblem] = ()

    def refused(self, because: Problem | None, **shown: object) -> Self:
        """The same page saying why it was refused, with what was typed (`shown`) instead of what is; None: as it is."""
        if because is None:
            return self
        said = {
            "problem": because.code,
            "problem_text": because.detail,
            "errors": [FieldProblem.model_validate(error) for error in because.errors],
        }
        return self.model_copy(update=said | shown)

    def error(self, field: str) -> FieldProblem | None:
        """The first error of a field."""
        return next((error for error in self.errors if error.field == field), None)


# Pages


class DoctorCard(Item):
    """A doctor in the list of home, with the next free slots, bookable until `lead` minutes before they begin."""

    doctor: DoctorItem
    slots: Sequence[SlotItem]
    lead: int = 0


class HomeView(View):
    """`/`: the doctors who fit, soonest first, and the next free time of all. `next_url` leads on in the list."""

    q: str = ""
    specialty: str = ""
    language: str = ""
    specialties: Sequence[str] = ()
    languages: Sequence[str] = ()
    doctors: Sequence[DoctorCard]
    soonest: DoctorCard | None = None
    next_url: str | None = None


class DoctorView(View):
    """`/doctors/{id}`: all slots of the days from `since`, with their room and the number they are true at.

    A slot can be booked until `lead` minutes before it begins.
    `moving` is the consultation that looks for a new time (`?move=`), with the key of that act. `wait_days` are the
    days that the form of the waitlist begins with.
    """

    doctor: DoctorItem
    slots: Sequence[SlotItem]
    room: str
    offset: int
    lead: int = 0
    earlier_url: str | None = None
    later_url: str | None = None
    chosen: UUID | None = None
    moving: ConsultationItem | None = None
    idempotency_key: str = ""
    walk_in_key: str = ""
    wait_days: tuple[date, date]


class BookView(Form):
    """`/book`: what is booked, for whom, why; `alternatives` when the slot was lost meanwhile."""

    doctor: DoctorItem
    slot: SlotItem
    patient_name: str
    reason: str = ""
    consent: bool = False
    idempotency_key: str
    hold_minutes: int = 15
    alternatives: Sequence[SlotItem] = ()


class PayFieldItem(Item):
    """A hidden field."""

    name: str
    value: str


class PayFormItem(Item):
    """The form that leads to a gateway's own checkout."""

    action: str
    fields: Sequence[PayFieldItem]


class CheckoutView(Form):
    """`/checkout/{payment id}`: what is to be paid, and what is true about it now."""

    payment: PaymentItem
    consultation: ConsultationItem
    doctor: DoctorItem
    slot_is_free: bool = False
    room: str
    offset: int
    sandbox: bool = True
    pay_url: str | None = None
    pay_form: PayFormItem | None = None


class ConsultationCard(Item):
    """A consultation in the patient's list; `refund_minor` is what comes back if it is cancelled now, and until
    `refund_until` (None: as long as it can be cancelled)."""

    consultation: ConsultationItem
    doctor: DoctorItem
    prescriptions: Sequence[PrescriptionItem] = ()
    refund_minor: int | None = None
    refund_until: datetime | None = None
    idempotency_key: str


class MyConsultationsView(View):
    """`/consultations`: what comes, soonest first, and what was, newest first."""

    coming: Sequence[ConsultationCard]
    past: Sequence[ConsultationCard]
    next_url: str | None = None


class ConsultationView(View):
    """`/consultations/{id}` of a patient: from the device check to the papers afterwards.

    Eight of ten turns begin between `earliest` and `latest`, half of them before `estimated_start`. `position` counts
    from 1; `notice` is what the doctor tells all who wait. `more_before` says whether the chat goes further back.
    """

    consultation: ConsultationItem
    doctor: DoctorItem
    patient_name: str
    state: MeetingState
    route: Literal["direct", "turn", "hop", "livekit"] = "direct"
    messages: Sequence[MessageItem] = ()
    position: int | None = None
    estimated_start: datetime | None = None
    earliest: datetime | None = None
    latest: datetime | None = None
    notice: NoticeItem | None = None
    read_by_other: int = 0
    more_before: bool = False
    transferred_at: datetime | None = None
    prescriptions: Sequence[PrescriptionItem] = ()
    calendar_url: str | None = None
    alternatives: Sequence[SlotItem] = ()
    room: str
    offset: int
    idempotency_key: str
    check_in_opens_at: datetime | None = None


class ReadItem(Item):
    """Who opened the record, what of it and when."""

    at: datetime
    who: str
    what: str


class RecordView(View):
    """`/record`: the patient's prescriptions, and who has read what."""

    prescriptions: Sequence[PrescriptionItem]
    reads: Sequence[ReadItem] = ()


class AttachmentItem(Item):
    """A file in a message of the inbox; `url` opens it."""

    filename: str
    size_bytes: int
    url: str


class InboxMessage(Item):
    """A mail or SMS that would have gone out."""

    id: str
    channel: str
    to: str
    subject: str
    text: str
    sent_at: datetime
    attachments: Sequence[AttachmentItem] = ()


class InboxView(View):
    """`/dev/inbox`: what would have been sent, newest first; `chosen` is the open one's id."""

    messages: Sequence[InboxMessage]
    chosen: str | None = None
    q: str = ""


class ProblemView(View):
    """Any refusal of a page: what happened, what was kept, the way on."""

    code: str
    status: int
    title: str
    detail: str
    request_id: str
    retry_at: datetime | None = None
    alternatives: Sequence[SlotItem] = ()
    doctor_name: str | None = None


class ProblemDocView(View):
    """`/problems/{code}`: what a problem's type means, for people who write programs."""

    code: str
    status: int
    title: str
    text: str


class VerifyPrescriptionView(View):
    """`/prescriptions/verify`: the answer to a code from a paper; no `verdict` before one was asked."""

    code: str = ""
    verdict: Literal["genuine", "revoked", "unknown"] | None = None
    doctor_name: str | None = None
    registration_number: str | None = None
    issued_on: date | None = None
    medicines: int | None = None
