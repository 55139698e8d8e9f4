"""What consultations take and give."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from server.consultations.estimate import Sure
from server.consultations.status import EndedAs, Status
from server.core.ids import AttachmentId, ConsultationId, DoctorId, MessageId, PatientId, PaymentId, SlotId
from server.core.models import Ask, Currency, Instant, Model, Prose
from server.core.privacy import Level
from server.core.routes import Upload

PaymentStatus = Literal["pending", "authorised", "captured", "failed", "expired", "refunded"]
Works = Literal["ok", "limited", "none", "unknown"]
AttachmentState = Literal["pending", "clean", "blocked"]
NoticeReason = Literal["late", "emergency", "technical", "break"]
Side = Literal["DOCTOR", "PATIENT"]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=80, pattern=r"^[0-9a-f_-]+$"), Level.PUBLIC]
ClientId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.~-]+$"), Level.INTERNAL]


class ConsultationPayment(Model):
    """What the consultation costs and whether it is paid. `checkout_url` is there while it can be paid."""

    id: PaymentId
    status: PaymentStatus
    amount: int
    currency: Currency
    checkout_url: Annotated[str, Level.INTERNAL] | None
    expires_at: Instant | None


class Consultation(Model):
    """A consultation as its patient, its doctor and administrators see it. Never why it was asked for."""

    id: ConsultationId
    status: Status
    slot_id: SlotId
    doctor_id: DoctorId
    patient_id: PatientId
    start_time: Instant
    end_time: Instant
    meeting_link: Annotated[str, Level.INTERNAL]
    confirmed_at: Instant | None
    checked_in_at: Instant | None
    called_at: Instant | None
    started_at: Instant | None
    ended_at: Instant | None
    ended_as: EndedAs | None
    queued_at: Instant | None = None
    """From when the place in the queue counts, where that is not the check-in: somebody was let go first."""
    transferred_at: Instant | None = None
    """When another doctor handed it on to this one."""
    payment: ConsultationPayment

    @property
    def is_waiting(self) -> bool:
        """Whether its patient sits in the waiting room and has not been called."""
        return self.status is Status.PENDING and self.checked_in_at is not None and self.called_at is None


class Readiness(Model):
    """What the patient's device check found."""

    camera: Works
    microphone: Works
    speaker: Works
    network: Works


class QueueEntry(Model):
    """A consultation in its doctor's queue. `listed` says whether it belongs in the queue now: when it does not
    (over, cancelled, moved to another day), a watcher takes the entry off, else puts it in the place of the old one.
    `position` counts those who wait, from 1."""

    consultation_id: ConsultationId
    patient_name: Annotated[str, Level.SENSITIVE]
    start_time: Instant
    status: Status
    confirmed_at: Instant | None
    checked_in_at: Instant | None
    called_at: Instant | None
    started_at: Instant | None
    position: int | None
    listed: bool
    queued_at: Instant | None = None
    """From when the place counts; None while nobody waits."""
    let_go_first: bool = False
    """Whether somebody who came later was let go first."""
    readiness: Readiness | None = None


class DelayNotice(Model):
    """What a doctor tells all who wait: the next turn is so many minutes away, until `back_at`, and why."""

    minutes: int
    reason: NoticeReason
    back_at: Instant


class Queue(Model):
    """A doctor's queue of today: who is in the call, who was called, who waits, who is still to come."""

    entries: list[QueueEntry]
    notice: DelayNotice | None = None


class Place(Model):
    """A place in the waiting room: the position from 1, when it should be this one's turn, the span that eight of
    ten turns fall into, and how sure that is. All None for one who does not wait; `notice` is the doctor's word."""

    position: int | None
    estimated_start: Instant | None
    earliest: Instant | None = None
    latest: Instant | None = None
    sure: Sure | None
    notice: DelayNotice | None = None


class Meeting(Model):
    """A consultation with the names that a page shows beside it."""

    consultation: Consultation
    doctor_name: Annotated[str, Level.PUBLIC]
    specialty: Annotated[str, Level.PUBLIC]
    patient_name: Annotated[str, Level.SENSITIVE]


class OfConsultation(Ask):
    """The consultation that the address names."""

    id: ConsultationId


class InConsultation(Ask):
    """The consultation that a socket's message names."""

    consultation_id: ConsultationId


class OfDoctor(Ask):
    """A doctor."""

    doctor_id: DoctorId


class CallNext(Ask):
    """Whom the doctor calls in; without an id, whoever checked in first."""

    consultation_id: ConsultationId | None = None


class PutBack(Ask):
    """A called patient whose doctor went away."""

    consultation_id: ConsultationId


class TellDelay(Ask):
    """The doctor takes nobody for so many minutes, and why."""

    minutes: Literal[5, 10, 15, 20, 30, 45, 60]
    reason: NoticeReason = "late"


class TellReadiness(Ask):
    """What the device check found, told over REST."""

    id: ConsultationId
    camera: Works
    microphone: Works
    speaker: Works
    network: Works


class ShowReadiness(Ask):
    """The same from a socket."""

    consultation_id: ConsultationId
    camera: Works
    microphone: Works
    speaker: Works
    network: Works


class ListConsultations(Ask):
    """Own consultations (an administrator: all), those to come soonest first, else the latest first."""

    status: Status | None = None
    when: Literal["upcoming", "past"] | None = None
    cursor: Cursor | None = None
    limit: int = Field(default=20, ge=1, le=100)


class Consultations(Model):
    """A page of consultations."""

    items: list[Consultation]
    next_cursor: Annotated[str, Level.PUBLIC] | None


class Meetings(Model):
    """A page of consultations with names."""

    items: list[Meeting]
    next_cursor: Annotated[str, Level.PUBLIC] | None


class Attachment(Model):
    """A file of the chat: pending until it is checked, then clean, or blocked, and then it is gone."""

    id: AttachmentId
    name: Annotated[str, Level.CRITICAL]
    content_type: str
    size_bytes: int
    state: AttachmentState
    created_at: Instant


class Attachments(Model):
    """All files of a consultation, oldest first."""

    items: list[Attachment]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class AttachFile(Ask):
    """A file for the chat: PDF, JPEG, PNG or WebP of at most 10 MB."""

    id: ConsultationId
    file: Upload


class OneAttachment(Ask):
    """A file that the address names."""

    id: ConsultationId
    attachment_id: AttachmentId


class OfAttachment(Ask):
    """A file that an event names."""

    id: AttachmentId


class Message(Model):
    """A line of the chat: numbered from 1 without gaps, never changed."""

    id: MessageId
    consultation_id: ConsultationId
    number: int
    sender_role: Side
    client_id: Annotated[str, Level.INTERNAL]
    text: Annotated[str, Level.CRITICAL]
    attachment_id: AttachmentId | None
    attachment: Attachment | None = None
    created_at: Instant


class WriteMessage(Ask):
    """A line for the chat. The same `client_id` again gives the message that it made first."""

    id: ConsultationId
    client_id: ClientId
    text: Prose
    attachment_id: AttachmentId | None = None


class SendMessage(Ask):
    """A line for the chat, from a socket."""

    consultation_id: ConsultationId
    client_id: ClientId
    text: Prose
    attachment_id: AttachmentId | None = None


class ListMessages(Ask):
    """Messages after the number that `cursor` holds, or the last ones before `before`; oldest first either way."""

    id: ConsultationId
    before: int | None = Field(default=None, ge=1, le=2**31 - 1)
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$"), Level.PUBLIC] | None = None
    limit: int = Field(default=100, ge=1, le=200)


class Messages(Model):
    """A page of the chat; `read_by_other` is the last number that the other side has read. With `before`,
    `next_cursor` is the `before` of the page that lies further back."""

    items: list[Message]
    next_cursor: Annotated[str, Level.PUBLIC] | None
    read_by_other: int


class Typing(Ask):
    """Somebody is writing, or has stopped."""

    consultation_id: ConsultationId
    writing: bool = True


class ReadMessages(Ask):
    """Everything up to this number was read."""

    consultation_id: ConsultationId
    number: int = Field(ge=1, le=2**31 - 1)


class ConsultationRoom(Model):
    """What a consultation's room shows first: the consultation and the last 200 messages, oldest first, and the number
    up to which the other side has read."""

    consultation: Consultation
    messages: list[Message]
    read_by_other: int = 0


class Note(Model):
    """A doctor's own note on a consultation. No patient and no administrator reads it here."""

    id: UUID
    text: Annotated[str, Level.CRITICAL]
    created_at: Instant


class WriteNote(Ask):
    """A note for the doctor's own record."""

    id: ConsultationId
    text: Prose


class Notes(Model):
    """All notes on a consultation, oldest first."""

    items: list[Note]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None
