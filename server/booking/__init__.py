"""Booking: slot to consultation, and back. It owns no table; the owners' tables change in its transactions."""

from server.booking.book import book_slot
from server.booking.cancel import cancel_booking, expire_hold
from server.booking.come_in import walk_in
from server.booking.confirm import confirm_paid
from server.booking.daily_limit import hold_daily_limit
from server.booking.events import ConsultationBooked, ConsultationMoved, FollowUpBooked
from server.booking.follow_up import book_follow_up
from server.booking.hand_over import transfer, transfer_from_queue
from server.booking.leave import (
    BookedInside,
    LeaveHasConsultations,
    LeaveTaken,
    TakeLeave,
    inside_leave,
    take_leave,
)
from server.booking.models import (
    BookSlot,
    CancelBooking,
    ConfirmPaid,
    ExpireHold,
    FollowUp,
    HeldAlready,
    Reschedule,
    Transfer,
    TransferFrom,
    WalkIn,
)
from server.booking.move import reschedule
from server.booking.problems import (
    BeyondHorizon,
    ConsentWithdrawn,
    DailyLimit,
    DoctorBusy,
    DoctorDayFull,
    NotToBeMoved,
    NotVerified,
    NoWalkIns,
    OtherDoctor,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.booking.routes import routes
from server.booking.terms import Cancellation, cancellation, read_cancellation
from server.payments import holds_due

__all__ = [
    "BeyondHorizon",
    "BookSlot",
    "BookedInside",
    "CancelBooking",
    "Cancellation",
    "ConfirmPaid",
    "ConsentWithdrawn",
    "ConsultationBooked",
    "ConsultationMoved",
    "DailyLimit",
    "DoctorBusy",
    "DoctorDayFull",
    "ExpireHold",
    "FollowUp",
    "FollowUpBooked",
    "HeldAlready",
    "LeaveHasConsultations",
    "LeaveTaken",
    "NoWalkIns",
    "NotToBeMoved",
    "NotVerified",
    "OtherDoctor",
    "PatientBusy",
    "Reschedule",
    "SlotPassed",
    "SlotTaken",
    "TakeLeave",
    "TooLate",
    "Transfer",
    "TransferFrom",
    "WalkIn",
    "book_follow_up",
    "book_slot",
    "cancel_booking",
    "cancellation",
    "confirm_paid",
    "expire_hold",
    "hold_daily_limit",
    "holds_due",
    "inside_leave",
    "read_cancellation",
    "reschedule",
    "routes",
    "take_leave",
    "transfer",
    "transfer_from_queue",
    "walk_in",
]
