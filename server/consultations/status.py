"""The status of a consultation: one table of what may happen to it, and when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from server.core.errors import Conflict

EndedAs = Literal["completed", "no_show", "cancelled_by_patient", "cancelled_by_doctor", "cancelled_by_admin", "unpaid"]


class Status(StrEnum):
    """The seed's four. Everything finer is a time."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class Act(StrEnum):
    """What can happen to a consultation."""

    CONFIRM = "confirm"
    CHECK_IN = "check-in"
    LEAVE = "leave"
    CALL = "call"
    PUT_BACK = "put-back"
    SKIP = "skip"
    TRANSFER = "transfer"
    START = "start"
    COMPLETE = "complete"
    NO_SHOW = "no-show"
    CANCEL = "cancel"
    MOVE = "reschedule"
    REOPEN = "reopen"
    REVIVE = "revive"


@dataclass(frozen=True, slots=True)
class Move:
    """From which status to which; None in a time's place means that it does not matter."""

    before: Status
    after: Status
    confirmed: bool | None = None
    checked_in: bool | None = None
    called: bool | None = None


_PENDING = Status.PENDING
MOVES: Mapping[Act, Move] = {
    Act.CONFIRM: Move(_PENDING, _PENDING, confirmed=False),
    Act.CHECK_IN: Move(_PENDING, _PENDING, confirmed=True, called=False),
    Act.LEAVE: Move(_PENDING, _PENDING, checked_in=True),
    Act.CALL: Move(_PENDING, _PENDING, checked_in=True),
    Act.PUT_BACK: Move(_PENDING, _PENDING, checked_in=True),
    Act.SKIP: Move(_PENDING, _PENDING, checked_in=True),
    Act.TRANSFER: Move(_PENDING, _PENDING, confirmed=True),
    Act.START: Move(_PENDING, Status.ACTIVE, called=True),
    Act.COMPLETE: Move(Status.ACTIVE, Status.COMPLETED),
    Act.NO_SHOW: Move(_PENDING, Status.CANCELLED, confirmed=True, checked_in=False),
    Act.CANCEL: Move(_PENDING, Status.CANCELLED),
    Act.MOVE: Move(_PENDING, _PENDING),
    Act.REOPEN: Move(Status.CANCELLED, _PENDING),
    Act.REVIVE: Move(Status.CANCELLED, _PENDING, confirmed=False),
}
_SAYS = {
    Status.PENDING: "This consultation has not begun.",
    Status.ACTIVE: "This consultation is under way.",
    Status.COMPLETED: "This consultation is over.",
    Status.CANCELLED: "This consultation was cancelled.",
}


class WrongStatus(Conflict):
    """What is asked does not fit the status of this consultation."""

    code = "wrong-status"
    title = "This consultation is in another state."


class NotConfirmed(Conflict):
    """The consultation is not confirmed: its payment is still to come."""

    code = "not-confirmed"
    title = "This consultation is not paid yet."


class NotCheckedIn(Conflict):
    """The patient is not in the waiting room."""

    code = "not-checked-in"
    title = "The patient is not in the waiting room."


class CheckedIn(Conflict):
    """The patient has checked in: this is no no-show."""

    code = "checked-in"
    title = "The patient has checked in."


class NotCalled(Conflict):
    """The patient has not been called in."""

    code = "not-called"
    title = "The patient has not been called in yet."


class NobodyBehind(Conflict):
    """Nobody else waits who could be taken first."""

    code = "nobody-behind"
    title = "Nobody waits behind this patient."


class TooEarly(Conflict):
    """It is too early for this; `opens_at` says from when on it can be done."""

    code = "too-early"
    title = "It is too early for this."


class TooLate(Conflict):
    """The time in which this could be done has passed."""

    code = "too-late"
    title = "It is too late for this."


def refuse_unless(act: Act, status: Status, *, confirmed: bool, checked_in: bool, called: bool) -> None:
    """Refuse what the table does not allow. Raises WrongStatus, NotConfirmed, NotCheckedIn, CheckedIn, NotCalled."""
    move = MOVES[act]
    if status is not move.before:
        raise WrongStatus(_SAYS[status], consultation_status=status.value)
    if move.confirmed is True and not confirmed:
        raise NotConfirmed
    if move.confirmed is False and confirmed:
        raise WrongStatus("This consultation is confirmed already.")
    if move.checked_in is True and not checked_in:
        raise NotCheckedIn
    if move.checked_in is False and checked_in:
        raise CheckedIn
    if move.called is True and not called:
        raise NotCalled
    if move.called is False and called:
        raise WrongStatus("The doctor has called you in already.")
