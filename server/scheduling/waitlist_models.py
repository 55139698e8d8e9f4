"""What the waitlist takes and gives: wishes, and the offers of freed slots."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import ConfigDict, Field

from server.core.ids import DoctorId, PatientId, SlotId, UserId
from server.core.models import Ask, Instant, Model, Token
from server.core.privacy import Level

LinkToken = Annotated[Token, Level.CRITICAL]
_BY_BOTH_NAMES = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


class JoinWaitlist(Ask):
    """A wish for a slot of this doctor that begins in this time."""

    model_config = _BY_BOTH_NAMES  # `from` is a word of Python's

    doctor_id: DoctorId
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")


class Wish(Model):
    """A patient's place on a waitlist. While a slot is offered, it is kept for this patient until `offered_until`:
    booking it takes it."""

    model_config = _BY_BOTH_NAMES

    id: UUID
    doctor_id: DoctorId
    from_time: Instant = Field(validation_alias="from", serialization_alias="from")
    to_time: Instant = Field(validation_alias="to", serialization_alias="to")
    offered_slot_id: SlotId | None
    offered_start_time: Instant | None
    offered_end_time: Instant | None
    offered_until: Instant | None
    closed_at: Instant | None


class Wishes(Model):
    """All places of a patient that are still open, oldest first."""

    items: list[Wish]
    next_cursor: Annotated[str, Level.PUBLIC] | None = None


class OneWish(Ask):
    """A place on the waitlist."""

    id: UUID


class OfferSlots(Ask):
    """Slots of a doctor that came free, each kept until somebody is found who waits for it."""

    doctor_id: DoctorId
    slot_ids: list[SlotId]


class ByToken(Ask):
    """The offer that a mail's link names."""

    token: LinkToken


class Offer(Model):
    """A slot that is kept for somebody who waits."""

    id: UUID
    waitlist_id: UUID
    doctor_id: DoctorId
    patient_id: Annotated[PatientId, Level.SENSITIVE]
    patient_n: int
    user_id: UserId
    slot_id: SlotId
    start_time: Instant
    end_time: Instant
    offered_until: Instant
    ended_at: Instant | None
    ended_as: Annotated[str, Level.INTERNAL] | None
