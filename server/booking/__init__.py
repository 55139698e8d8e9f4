"""Booking: slot to consultation, and back. It owns no table; the owners' tables change in its transactions."""

from server.booking.book import book_slot
from server.booking.cancel import cancel_booking, expire_hold
from server.booking.confirm import confirm_paid
from server.booking.events import ConsultationBooked, ConsultationMoved
from server.booking.models import BookSlot, CancelBooking, ConfirmPaid, ExpireHold, HeldAlready, Reschedule
from server.booking.move import reschedule
from server.booking.problems import (
    BeyondHorizon,
    ConsentWithdrawn,
    DailyLimit,
    NotToBeMoved,
    NotVerified,
    OtherDoctor,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.booking.routes import routes
from server.payments import holds_due

__all__ = [
    "BeyondHorizon",
    "BookSlot",
    "CancelBooking",
    "ConfirmPaid",
    "ConsentWithdrawn",
    "ConsultationBooked",
    "ConsultationMoved",
    "DailyLimit",
    "ExpireHold",
    "HeldAlready",
    "NotToBeMoved",
    "NotVerified",
    "OtherDoctor",
    "PatientBusy",
    "Reschedule",
    "SlotPassed",
    "SlotTaken",
    "TooLate",
    "book_slot",
    "cancel_booking",
    "confirm_paid",
    "expire_hold",
    "holds_due",
    "reschedule",
    "routes",
]
