"""What consultations tell: the doctor's queue, the consultation's room, and the steps that follow."""

from __future__ import annotations

from server.consultations.estimate import Sure
from server.consultations.models import Attachment, Consultation, DelayNotice, Message, QueueEntry, Side
from server.consultations.status import EndedAs
from server.core.events import Event, Room, Signal
from server.core.ids import AttachmentId, ConsultationId, DoctorId
from server.core.models import Instant
from server.core.privacy import Level

QUEUE = Room("queue:{doctor_id}", cleared=Level.SENSITIVE)
CONSULTATION = Room("consultation:{consultation_id}", cleared=Level.CRITICAL)


class QueueChanged(Event, name="queue.changed", rooms=(QUEUE,)):
    """The entry as it now is; `listed` says whether it still belongs in the queue."""

    doctor_id: DoctorId
    entry: QueueEntry


class ConsultationChanged(Event, name="consultation.changed", rooms=(CONSULTATION,)):
    """The consultation as it now is."""

    consultation_id: ConsultationId
    consultation: Consultation


class ChatMessage(Event, name="chat.message", rooms=(CONSULTATION,)):
    """A new message."""

    consultation_id: ConsultationId
    message: Message


class AttachmentUploaded(Event, name="attachment.uploaded"):
    """A file was kept, and is to be checked. No room hears it."""

    attachment_id: AttachmentId
    consultation_id: ConsultationId


class AttachmentChanged(Event, name="attachment.changed", rooms=(CONSULTATION,)):
    """The file as it now is: checked."""

    consultation_id: ConsultationId
    attachment: Attachment


class WaitingPosition(Event, name="waiting.position", rooms=(CONSULTATION,)):
    """Where the patient stands in the waiting room, when it should be their turn, the span that eight of ten turns
    fall into, how sure that is, and what the doctor tells all who wait."""

    consultation_id: ConsultationId
    position: int
    estimated_start: Instant
    earliest: Instant
    latest: Instant
    sure: Sure
    notice: DelayNotice | None


class QueueNotice(Event, name="queue.notice", rooms=(QUEUE,)):
    """What the doctor tells all who wait; None once it is taken back, or the doctor calls somebody in."""

    doctor_id: DoctorId
    notice: DelayNotice | None


class ConsultationConfirmed(Event, name="consultation.confirmed"):
    """Paid, or free: it will take place."""

    consultation_id: ConsultationId


class ConsultationCompleted(Event, name="consultation.completed"):
    """The doctor has closed it."""

    consultation_id: ConsultationId


class ConsultationCancelled(Event, name="consultation.cancelled"):
    """It will not take place, and why."""

    consultation_id: ConsultationId
    ended_as: EndedAs


class ChatTyping(Signal, name="chat.typing", rooms=(CONSULTATION,)):
    """One side is writing, or has stopped. Nothing more heard for six seconds is the same as having stopped."""

    consultation_id: ConsultationId
    role: Side
    writing: bool = True


class ChatRead(Signal, name="chat.read", rooms=(CONSULTATION,)):
    """One side has read everything up to this number. The mark itself is stored."""

    consultation_id: ConsultationId
    role: Side
    number: int


class Presence(Signal, name="presence", rooms=(CONSULTATION,)):
    """One side is there, or no longer."""

    consultation_id: ConsultationId
    role: Side
    present: bool
