"""Letters: which event makes which letter, as one table. Each line is a step of its own, with its place in a flow.

The name of a step is what deliveries that are under way know it by: it stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from server.accounts import (
    AddressDoubted,
    AddressKnown,
    DoctorInvited,
    PasswordChanged,
    ResetRequested,
    SecondFactorChanged,
    UserRegistered,
)
from server.booking import ConsultationMoved
from server.consultations import ConsultationCancelled, ConsultationConfirmed
from server.core.cipher import Cipher
from server.core.events import Event
from server.core.ids import ConsultationId, UserId
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import Letter, Meeting, meeting_of, write_letter
from server.payments import PaymentRefunded
from server.prescriptions import PrescriptionWritten
from worker.registry import on

BY_THE_CLINIC = frozenset({"cancelled_by_doctor", "cancelled_by_admin"})


def never(meeting: Meeting) -> bool:
    """Not worth an SMS."""
    del meeting
    return False


def always(meeting: Meeting) -> bool:
    """Worth an SMS."""
    del meeting
    return True


def is_by_the_clinic(meeting: Meeting) -> bool:
    """Worth an SMS where the patient does not know it yet."""
    return meeting.ended_as in BY_THE_CLINIC


@dataclass(frozen=True, slots=True)
class Line:
    """One letter. `cause` and `link` take the event's fields, `now`, `hour` and the calendar's `sequence`.

    The event says of whom it is: a `consultation_id` (its patient) or a `user_id`.
    """

    step: str
    event: type[Event]
    kind: str
    says: str
    cause: str
    link: str = ""
    calendar: Literal["none", "request", "cancel"] = "none"
    sms: Callable[[Meeting], bool] = never


TABLE = (
    Line(
        "accounts.mail_verification",
        UserRegistered,
        "verify_email",
        "Ask the new owner of an account whether the address is theirs.",
        cause="registered:{user_id}",
        link="/verify?token={token}",
    ),
    Line(
        "accounts.mail_verification_again",
        AddressDoubted,
        "verify_email",
        "Ask an owner whether mails to the address arrive.",
        cause="doubted:{user_id}:{now}",
        link="/verify?token={token}",
    ),
    Line(
        "accounts.mail_known_address",
        AddressKnown,
        "address_known",
        "Tell the owner that somebody registered with their address; at most once an hour.",
        cause="known:{user_id}:{hour}",
    ),
    Line(
        "accounts.mail_invitation",
        DoctorInvited,
        "invitation",
        "Send a doctor the page to choose a password on.",
        cause="invited:{user_id}:{now}",
        link="/invitation?token={token}",
    ),
    Line(
        "accounts.mail_reset",
        ResetRequested,
        "reset_password",
        "Send the page to choose a new password on.",
        cause="reset:{user_id}:{now}",
        link="/reset?token={token}",
    ),
    Line(
        "accounts.mail_password_notice",
        PasswordChanged,
        "password_changed",
        "Tell the owner that the password is another one.",
        cause="password:{user_id}:{now}",
    ),
    Line(
        "accounts.mail_factor_notice",
        SecondFactorChanged,
        "second_factor_changed",
        "Tell the owner that the second factor changed, or that a recovery code was used.",
        cause="factor:{user_id}:{now}",
    ),
    Line(
        "booking_payment.mail_confirmation",
        ConsultationConfirmed,
        "confirmed",
        "Write to the patient, with the calendar file.",
        cause="confirmed:{consultation_id}",
        calendar="request",
        sms=always,
    ),
    Line(
        "booking_payment.mail_move",
        ConsultationMoved,
        "moved",
        "Tell the patient the new time, with the calendar's update under the same UID.",
        cause="moved:{consultation_id}:{sequence}",
        calendar="request",
        sms=always,
    ),
    Line(
        "booking_payment.mail_cancellation",
        ConsultationCancelled,
        "cancelled",
        "Tell the patient by whom and what becomes of the money, and take it out of the calendar.",
        cause="cancelled:{consultation_id}",
        calendar="cancel",
        sms=is_by_the_clinic,
    ),
    Line(
        "booking_payment.mail_refund",
        PaymentRefunded,
        "refunded",
        "Tell the patient that the money is on its way.",
        cause="refunded:{payment_id}:{now}",
    ),
    Line(
        "meeting.mail_prescription",
        PrescriptionWritten,
        "prescription_ready",
        "Tell the patient that it is there, by a link and never by its text.",
        cause="prescription:{prescription_id}",
        link="/prescriptions/{prescription_id}",
    ),
)


def register(line: Line) -> None:
    """Make a line a step."""

    async def write(tx: Tx, event: Event, *, cipher: Cipher, settings: Settings) -> None:
        await write_letter(tx, await _letter(tx, line, event, settings), cipher=cipher, settings=settings)

    flow, _, name = line.step.partition(".")
    write.__name__ = write.__qualname__ = name
    write.__module__ = f"{__package__}.{flow}"
    write.__doc__ = line.says
    on(line.event)(write)


async def _letter(tx: Tx, line: Line, event: Event, settings: Settings) -> Letter:
    consultation_id: ConsultationId | None = getattr(event, "consultation_id", None)
    meeting = await meeting_of(tx, consultation_id) if consultation_id is not None else None
    user_id: UserId = meeting.patient_user_id if meeting is not None else getattr(event, "user_id")  # noqa: B009
    facts = {
        **{name: getattr(event, name) for name in type(event).model_fields},
        "now": tx.now.isoformat(),
        "hour": f"{tx.now:%Y-%m-%dT%H}",
        "sequence": meeting.sequence if meeting is not None else 0,
    }
    # What was never confirmed stands in no calendar.
    is_in_calendar = meeting is not None and meeting.ended_as != "unpaid"
    return Letter(
        kind=line.kind,
        user_id=user_id,
        cause=line.cause.format_map(facts),
        link=settings.public_url + line.link.format_map(facts) if line.link else "",
        consultation_id=consultation_id,
        calendar=line.calendar if is_in_calendar else "none",
        sms=meeting is not None and line.sms(meeting),
    )


for _line in TABLE:
    register(_line)
