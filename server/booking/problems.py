"""Why a slot cannot be booked."""

from __future__ import annotations

from server.core.errors import Conflict, Forbidden


class SlotTaken(Conflict):
    """Someone booked it first, or the doctor withdrew it. Offer the other slots."""

    code = "slot-taken"
    title = "This slot is no longer free."


class SlotPassed(Conflict):
    """The slot has begun. Nobody took it: its time went by."""

    code = "slot-passed"
    title = "This slot has begun already."


class TooLate(Conflict):
    """The slot begins sooner than the minimum notice allows."""

    code = "too-late-to-book"
    title = "It is too late to book this slot."


class BeyondHorizon(Conflict):
    """The slot lies further ahead than this doctor can be booked."""

    code = "beyond-horizon"
    title = "This slot cannot be booked yet."


class DailyLimit(Conflict):
    """This patient has made as many bookings today as a day allows."""

    code = "daily-limit"
    title = "That is enough bookings for today."


class DoctorDayFull(Conflict):
    """The doctor takes no more patients on that day. Another day has room."""

    code = "doctor-day-full"
    title = "This doctor has no more room on that day."


class PatientBusy(Conflict):
    """The patient has another consultation at that time."""

    code = "patient-busy"
    title = "You have another consultation at that time."


class ConsentWithdrawn(Forbidden):
    """The patient withdrew the consent to teleconsultation; it must be given again first."""

    code = "consent-withdrawn"
    title = "Your consent to teleconsultation is withdrawn."


class NotVerified(Forbidden):
    """The e-mail address must be confirmed before the first booking."""

    code = "not-verified"
    title = "Please confirm your e-mail address first."


class OtherDoctor(Conflict):
    """A consultation moves within one doctor's calendar; for another doctor, cancel and book."""

    code = "other-doctor"
    title = "This slot is another doctor's."


class DoctorBusy(Conflict):
    """That doctor has no free time from then on, within a day."""

    code = "doctor-busy"
    title = "That doctor has no time then."


class NoWalkIns(Conflict):
    """This doctor sees nobody without an appointment. Book one of the free slots."""

    code = "no-walk-ins"
    title = "This doctor sees patients by appointment."


class NotToBeMoved(Conflict):
    """Only a consultation that has neither begun nor been called, cancelled or ended can be moved."""

    code = "not-to-be-moved"
    title = "This consultation cannot be moved any more."
