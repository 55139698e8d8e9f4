"""A user as they see themselves, and what they may change of it."""

from __future__ import annotations

from datetime import date
from typing import cast

from server.accounts import queries
from server.accounts.events import ProfileChanged
from server.accounts.models import ChangeMe, Me, Sex
from server.accounts.people import open_field, seal_field
from server.accounts.ways import changed_channels, channels_of, quiet_hours_of, reminders_of
from server.core.cipher import Cipher, Place
from server.core.errors import FieldError, Invalid, NotFound, Unauthenticated
from server.core.ids import PatientId, UserId
from server.core.models import Nothing
from server.core.tx import Role, Tx

EARLIEST_BIRTH = date(1890, 1, 1)


async def read_me(tx: Tx, ask: Nothing, *, cipher: Cipher) -> Me:
    """The caller."""
    return await me_of(tx, cipher=cipher)


async def change_me(tx: Tx, ask: ChangeMe, *, cipher: Cipher) -> Me:
    """Change what is given. Raises Invalid for a date of birth that cannot be, or fields that are not a patient's."""
    user_id, patient_id = tx.actor.user_id, tx.actor.patient_id
    assert user_id is not None
    given = ask.model_fields_set
    if patient_id is None and given & {"birth_date", "sex"}:
        raise Invalid(
            errors=[
                FieldError(field=field, code="not-yours", message="Only patients have this field.")
                for field in sorted(given & {"birth_date", "sex"})
            ]
        )
    if ask.birth_date is not None and not EARLIEST_BIRTH <= ask.birth_date <= tx.now.date():
        raise Invalid(errors=[FieldError(field="birth_date", code="range", message="This cannot be a date of birth.")])
    phone: tuple[bytes | None, bytes | None] | None = None
    if "phone" in given:
        phone = (
            (await seal_field(tx, user_id, "phone", ask.phone, cipher), cipher.blind("phone", ask.phone))
            if ask.phone is not None
            else (None, None)
        )
    if given & {"reminders", "channels", "quiet_hours"}:
        await _change_ways(tx, user_id, ask)
    await queries.change_user(
        tx,
        user_id,
        name=await seal_field(tx, user_id, "name", ask.name, cipher) if ask.name is not None else None,
        language=ask.language,
        time_zone=ask.time_zone,
        phone=phone,
    )
    if patient_id is not None and given & {"birth_date", "sex"}:
        birth_date = ask.birth_date.isoformat() if ask.birth_date is not None else None
        await queries.change_patient(
            tx,
            patient_id,
            (await _sealed(tx, patient_id, "birth_date", birth_date, cipher),) if "birth_date" in given else None,
            (await _sealed(tx, patient_id, "sex", ask.sex, cipher),) if "sex" in given else None,
        )
    tx.emit(ProfileChanged(user_id=user_id))
    return await me_of(tx, cipher=cipher)


async def me_of(tx: Tx, *, cipher: Cipher) -> Me:
    """The acting user, opened. What is class 4 in it leaves its line in the trail. Raises Unauthenticated."""
    user_id = tx.actor.user_id
    if user_id is None:
        raise Unauthenticated
    row = await queries.user_by_id(tx, user_id)
    if row is None:
        raise NotFound
    patient_id = cast("PatientId | None", row["patient_id"])
    birth_date = await _opened(tx, patient_id, "birth_date", row["birth_date"], cipher)
    sex = await _opened(tx, patient_id, "sex", row["sex"], cipher)
    if patient_id is not None and (birth_date or sex):
        tx.saw(patient_id, "patients", patient_id)
    return Me(
        id=user_id,
        role=Role(row["role"]),
        doctor_id=row["doctor_id"],
        patient_id=patient_id,
        name=await open_field(tx, user_id, "name", row["name"], cipher),
        email=await open_field(tx, user_id, "email", row["email"], cipher),
        phone=await open_field(tx, user_id, "phone", row["phone"], cipher) if row["phone"] else None,
        language=row["language"],
        time_zone=row["time_zone"],
        birth_date=date.fromisoformat(birth_date) if birth_date else None,
        sex=Sex(sex) if sex else None,
        reminders=reminders_of(row),
        channels=channels_of(row),
        quiet_hours=quiet_hours_of(row),
        email_verified=row["email_verified_at"] is not None,
        email_undeliverable=row["undeliverable_at"] is not None,
        mfa_enabled=row["mfa_enabled"],
        second_step=tx.actor.second_step,
    )


async def _change_ways(tx: Tx, user_id: UserId, ask: ChangeMe) -> None:
    """Merge into what stands. Two changes at once come one after the other: neither undoes what it does not name."""
    await queries.hold_user(tx, user_id)
    row = await queries.user_by_id(tx, user_id)
    if row is None:
        raise NotFound
    quiet = ask.quiet_hours if "quiet_hours" in ask.model_fields_set else quiet_hours_of(row)
    await queries.change_ways(tx, user_id, changed_channels(row, ask), quiet)


async def _sealed(tx: Tx, patient_id: PatientId, field: str, text: str | None, cipher: Cipher) -> bytes | None:
    return await cipher.seal(tx, patient_id, Place("patients", field, patient_id), text) if text else None


async def _opened(tx: Tx, patient_id: PatientId | None, field: str, sealed: bytes | None, cipher: Cipher) -> str | None:
    if patient_id is None or sealed is None:
        return None
    return await cipher.open(tx, patient_id, Place("patients", field, patient_id), sealed)
