"""The flows, one file each; importing this package registers every step."""

from worker.sagas import (
    attachments,
    booking_payment,
    calendar,
    follow_up,
    letters,
    notices,
    reconciliation,
    sandbox,
    waitlist,
)

__all__ = [
    "attachments",
    "booking_payment",
    "calendar",
    "follow_up",
    "letters",
    "notices",
    "reconciliation",
    "sandbox",
    "waitlist",
]
