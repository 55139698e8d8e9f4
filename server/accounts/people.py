"""Users' rows with their sealed fields opened: who somebody is, for mails, documents and pages."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from asyncpg import Record

from server.accounts import queries
from server.accounts.models import Person
from server.accounts.ways import channels_of, quiet_hours_of
from server.core.cipher import Cipher, Place
from server.core.errors import NotFound
from server.core.ids import DoctorId, PatientId, UserId
from server.core.tx import Role, Tx


async def person(tx: Tx, user_id: UserId, cipher: Cipher) -> Person:
    """A user by id. Raises NotFound; core.cipher.Erased when their data was erased."""
    return await _opened(tx, await queries.user_by_id(tx, user_id), cipher)


async def patient_person(tx: Tx, patient_id: PatientId, cipher: Cipher) -> Person:
    """The user who is this patient. Raises NotFound, Erased."""
    return await _opened(tx, await queries.user_by_patient(tx, patient_id), cipher)


async def doctor_person(tx: Tx, doctor_id: DoctorId, cipher: Cipher) -> Person:
    """The user who is this doctor. Raises NotFound, Erased."""
    return await _opened(tx, await queries.user_by_doctor(tx, doctor_id), cipher)


async def seal_field(tx: Tx, user_id: UserId, field: str, text: str, cipher: Cipher) -> bytes:
    """A class 3 field of a user (email, phone, name), sealed for its place."""
    return await cipher.seal(tx, user_id, Place("users", field, user_id), text)


async def open_field(tx: Tx, user_id: UserId, field: str, sealed: bytes, cipher: Cipher) -> str:
    """What seal_field sealed. Raises Erased, Unreadable."""
    return await cipher.open(tx, user_id, Place("users", field, user_id), sealed)


async def _opened(tx: Tx, row: Record | None, cipher: Cipher) -> Person:
    if row is None:
        raise NotFound
    user_id = UserId(cast(UUID, row["id"]))
    return Person(
        user_id=user_id,
        role=Role(row["role"]),
        name=await open_field(tx, user_id, "name", row["name"], cipher),
        email=await open_field(tx, user_id, "email", row["email"], cipher),
        phone=await open_field(tx, user_id, "phone", row["phone"], cipher) if row["phone"] else None,
        language=row["language"],
        time_zone=row["time_zone"],
        channels=channels_of(row),
        quiet_hours=quiet_hours_of(row),
        undeliverable=row["undeliverable_at"] is not None,
        patient_id=row["patient_id"],
        doctor_id=row["doctor_id"],
    )
