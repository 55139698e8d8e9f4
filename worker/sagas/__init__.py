"""The flows, one file each; importing this package registers every step."""

from worker.sagas import accounts, booking_payment, calendar, meeting, notices

__all__ = ["accounts", "booking_payment", "calendar", "meeting", "notices"]
