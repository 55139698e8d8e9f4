"""What the pages of the waitlist show, as frozen models."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from collections.abc import Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from web.views import DoctorItem, Form, Item


class WishItem(Item):
    """A place on a doctor's waitlist; while a time is offered, it is kept until `offered_until`."""

    id: UUID
    doctor: DoctorItem
    from_time: datetime
    to_time: datetime
    offered_slot_id: UUID | None = None
    offered_start_time: datetime | None = None
    offered_until: datetime | None = None


class WaitlistView(Form):
    """`/waitlist`: where the patient waits, oldest first, with the room that says when a time comes free."""

    wishes: Sequence[WishItem]
    room: str
    offset: int
    minutes: int


class OfferView(Form):
    """`/waitlist/offer?token=`: a time that is kept for whoever holds the mail. Opening the page changes nothing.

    `answer` is how it ended: booked, declined, expired or withdrawn; None while it stands.
    """

    token: str
    doctor: DoctorItem
    start_time: datetime
    end_time: datetime
    until: datetime
    minutes: int
    consent: bool = False
    answer: Literal["booked", "declined", "expired", "withdrawn"] | None = None
