"""What is sent: one message of one channel, for one cause."""

from __future__ import annotations

import base64
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from server.core.ids import ConsultationId, DoctorId, UserId
from server.core.models import Model
from server.core.privacy import Level

Channel = Literal["mail", "sms", "push"]
Topic = Literal["reminders", "booking", "account"]


class State(StrEnum):
    """What became of a message."""

    QUEUED = "queued"
    SENT = "sent"
    """The provider took it."""
    DELIVERED = "delivered"
    """The provider says that it arrived."""
    BOUNCED = "bounced"
    """There is nobody at this address, number or device."""
    FAILED = "failed"
    """The provider will not take it, or could not be reached for too long."""
    DROPPED = "dropped"
    """What it says was no longer true when its turn came."""


class Attachment(Model):
    """A file beside a mail."""

    filename: Annotated[str, Level.INTERNAL]
    content_type: Annotated[str, Level.INTERNAL]
    content_base64: Annotated[str, Level.CRITICAL]

    @property
    def content(self) -> bytes:
        """The file itself."""
        return base64.b64decode(self.content_base64)


class Content(Model):
    """A message as it leaves; `to` is an address, a phone number, or the id of a device's subscription."""

    to: Annotated[str, Level.SENSITIVE]
    subject: Annotated[str, Level.SENSITIVE] = ""
    text: Annotated[str, Level.SENSITIVE]
    html: Annotated[str, Level.SENSITIVE] = ""
    headers: Annotated[dict[str, str], Level.INTERNAL] = Field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


class OfferedTime(Model):
    """A time that is kept for somebody who waits, and until when."""

    doctor_name: Annotated[str, Level.PUBLIC]
    start_time: datetime
    until: datetime


class Letter(Model):
    """A letter to be written: its kind, to whom, and the facts that it names.

    `sms` is whether it is worth an SMS; a device is told of every letter that has a short form.
    """

    kind: Annotated[str, Level.INTERNAL]
    user_id: UserId
    cause: Annotated[str, Level.INTERNAL]
    link: Annotated[str, Level.SENSITIVE] = ""
    consultation_id: ConsultationId | None = None
    calendar: Literal["none", "request", "cancel"] = "none"
    sms: bool = False
    valid_until: datetime | None = None
    offered: OfferedTime | None = None


class Meeting(Model):
    """What letters say of a consultation. The specialty is not among it: with the recipient it is health data."""

    consultation_id: ConsultationId
    patient_user_id: UserId
    doctor_id: DoctorId
    doctor_name: Annotated[str, Level.PUBLIC]
    doctor_user_id: UserId
    start_time: datetime
    end_time: datetime
    sequence: int
    link: Annotated[str, Level.INTERNAL]
    ended_as: Annotated[str | None, Level.INTERNAL]
    amount_minor: int
    refund_minor: int
    """What of it was given back, or is on its way back."""
    currency: Annotated[str, Level.PUBLIC]
    expires_at: datetime | None
    payment_status: Annotated[str, Level.INTERNAL]


class Message(Model):
    """A stored message that is to leave, opened."""

    id: UUID
    user_id: UserId
    channel: Channel
    kind: Annotated[str, Level.INTERNAL]
    valid_until: datetime | None
    content: Content


class Outcome(Model):
    """What a provider made of a message. `error` is a word of ours or a provider's code, never a person's data."""

    state: State
    provider_ref: Annotated[str, Level.INTERNAL] | None = None
    error: Annotated[str, Level.INTERNAL] | None = None
