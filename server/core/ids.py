"""Ids: UUIDv7 made by the application, one NewType each, so that a user passed for a slot fails the type check."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import NewType
from uuid import UUID

from asyncpg.pgproto import pgproto

from server.core.nonces import nonce

UserId = NewType("UserId", UUID)
PatientId = NewType("PatientId", UUID)
DoctorId = NewType("DoctorId", UUID)
SlotId = NewType("SlotId", UUID)
ConsultationId = NewType("ConsultationId", UUID)
PaymentId = NewType("PaymentId", UUID)
PrescriptionId = NewType("PrescriptionId", UUID)
MessageId = NewType("MessageId", UUID)
SessionId = NewType("SessionId", UUID)
EventId = NewType("EventId", UUID)
AttachmentId = NewType("AttachmentId", UUID)


_NEVER_MILLISECONDS = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp() * 1000)


def new_id(now: datetime) -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7) of the millisecond `now`, 74 bits random. It tells its time; it is no secret."""
    milliseconds = int(now.timestamp() * 1000)
    random = int.from_bytes(nonce()) >> 22
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & (1 << 62) - 1
    return pgproto.UUID(value.to_bytes(16))  # as rows come with: made and printed in a tenth of the time


def user_tag(user_id: UUID) -> str:
    """Eight characters of a user: in their session tokens and Redis keys, so that these keys share a slot."""
    return hashlib.sha256(b"amrutam user|" + user_id.bytes).hexdigest()[:8]


def made_at(id_: UUID) -> datetime:
    """The millisecond that a UUIDv7 was made at, UTC: `created_at` of partitioned rows. An id that we cannot have made
    may name a year beyond every calendar: it says 2200, where nothing is found."""
    milliseconds = min(id_.int >> 80, _NEVER_MILLISECONDS)
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)
