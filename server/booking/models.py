"""What booking takes, and the one answer of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from server.consultations import Consultation
from server.core.ids import ConsultationId, DoctorId, PaymentId, SlotId
from server.core.models import Ask, Instant, Prose
from server.core.privacy import Level


class BookSlot(Ask):
    """The slot, and what the patient comes for."""

    slot_id: SlotId
    reason: Annotated[Prose, Level.CRITICAL] | None = None


class HeldAlready(Consultation):
    """The consultation that this patient holds in that slot, still unpaid: 200, since nothing new came to be."""

    http_status: ClassVar[int | None] = 200


class CancelBooking(Ask):
    """The consultation to cancel."""

    id: ConsultationId
    reason: Annotated[Prose, Level.CRITICAL] | None = None


class Reschedule(Ask):
    """The consultation, and the slot it moves to."""

    id: ConsultationId
    slot_id: SlotId


class Transfer(Ask):
    """The consultation, and the doctor who takes it over."""

    id: ConsultationId
    doctor_id: DoctorId


class TransferFrom(Ask):
    """The same from a socket."""

    consultation_id: ConsultationId
    doctor_id: DoctorId


class WalkIn(Ask):
    """The doctor whom somebody comes to now, and what for."""

    id: DoctorId
    reason: Annotated[Prose, Level.CRITICAL] | None = None


class FollowUp(Ask):
    """The consultation that the next one comes out of, and when: a free slot, or a time that a slot is made at."""

    id: ConsultationId
    slot_id: SlotId | None = None
    start_time: Instant | None = None
    free_of_charge: bool = False


class ExpireHold(Ask):
    """The unpaid payment whose hold may be over."""

    payment_id: PaymentId


class ConfirmPaid(Ask):
    """The payment that was captured."""

    payment_id: PaymentId
