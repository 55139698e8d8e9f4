"""What is sent: one message of one channel, for one cause."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from server.core.ids import ConsultationId, UserId
from server.core.models import Model
from server.core.privacy import Level

Channel = Literal["mail", "sms"]


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
    """A message as it leaves; `to` is an address or a phone number."""

    to: Annotated[str, Level.SENSITIVE]
    subject: Annotated[str, Level.SENSITIVE] = ""
    text: Annotated[str, Level.SENSITIVE]
    html: Annotated[str, Level.SENSITIVE] = ""
    headers: Annotated[dict[str, str], Level.INTERNAL] = Field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


class Letter(Model):
    """A letter to be written: its kind, to whom, and the facts that it names."""

    kind: Annotated[str, Level.INTERNAL]
    user_id: UserId
    cause: Annotated[str, Level.INTERNAL]
    link: Annotated[str, Level.SENSITIVE] = ""
    consultation_id: ConsultationId | None = None
    calendar: Literal["none", "request", "cancel"] = "none"
    sms: bool = False


class Meeting(Model):
    """What letters say of a consultation. The specialty is not among it: with the recipient it is health data."""

    consultation_id: ConsultationId
    patient_user_id: UserId
    doctor_name: Annotated[str, Level.PUBLIC]
    doctor_user_id: UserId
    start_time: datetime
    end_time: datetime
    sequence: int
    link: Annotated[str, Level.INTERNAL]
    ended_as: Annotated[str | None, Level.INTERNAL]
    amount_minor: int
    currency: Annotated[str, Level.PUBLIC]
    payment_status: Annotated[str, Level.INTERNAL]


class Queued(Model):
    """A stored message that is to leave."""

    id: UUID
    user_id: UserId
    channel: Channel
