"""Register a patient: 202 for everybody, and the same time, whether the address has an account or not."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from server.accounts import queries
from server.accounts.addresses import normal_email
from server.accounts.events import AddressKnown, UserRegistered
from server.accounts.models import Accepted, AddPatient, InviteUser, Purpose, Register
from server.accounts.passwords import Passwords, refuse_weak
from server.accounts.people import seal_field
from server.accounts.tokens import link_token, token_hash
from server.core.cipher import Cipher
from server.core.ids import PatientId, UserId, new_id
from server.core.tx import Role, Run, Tx

LINK_LASTS = timedelta(hours=24)
# The database has more to do for a new address than for a known one: both answers wait for this long.
SAME_SECONDS = 0.15


async def register(run: Run, ask: Register, *, cipher: Cipher, passwords: Passwords) -> Accepted:
    """Register a patient, or write to who has the address already. Raises Invalid for a weak password."""
    refuse_weak(ask.password, ask.email, ask.name)
    began = time.monotonic()
    password_hash = await passwords.hash(ask.password)

    async def add(tx: Tx, ask: AddPatient) -> None:
        if await add_patient(tx, ask, cipher=cipher) is None:
            known = await queries.user_by_email(tx, email_hash_of(ask.email, cipher))
            assert known is not None
            tx.emit(AddressKnown(user_id=known["id"]))

    await run(
        add,
        AddPatient(
            email=ask.email,
            password_hash=password_hash,
            name=ask.name,
            phone=ask.phone,
            language=ask.language,
            time_zone=ask.time_zone,
        ),
    )
    await asyncio.sleep(max(0.0, began + SAME_SECONDS - time.monotonic()))
    return Accepted()


async def add_patient(tx: Tx, ask: AddPatient, *, cipher: Cipher) -> PatientId | None:
    """Make a patient's account, and the link that verifies its address; None when the address has an account."""
    invited = InviteUser(
        email=ask.email,
        name=ask.name,
        role=Role.PATIENT,
        phone=ask.phone,
        language=ask.language,
        time_zone=ask.time_zone,
        password_hash=ask.password_hash,
    )
    user_id = await add_user(tx, invited, cipher=cipher, verified=ask.verified)
    if user_id is None:
        return None
    patient_id = PatientId(new_id(tx.now))
    await queries.add_patient(tx, patient_id, user_id)
    if not ask.verified:
        token = link_token()
        await queries.add_link(tx, user_id, Purpose.VERIFY_EMAIL, token_hash(token), tx.now + LINK_LASTS)
        tx.emit(UserRegistered(user_id=user_id, token=token))
    return patient_id


async def add_user(tx: Tx, ask: InviteUser, *, cipher: Cipher, verified: bool) -> UserId | None:
    """Store a user with sealed fields; None, and nothing stored, when the address has an account."""
    email_hash = email_hash_of(ask.email, cipher)
    if await queries.user_by_email(tx, email_hash) is not None:
        return None
    user_id = UserId(new_id(tx.now))
    stored = await queries.add_user(
        tx,
        user_id,
        ask.role,
        email=await seal_field(tx, user_id, "email", ask.email, cipher),
        email_hash=email_hash,
        phone=await seal_field(tx, user_id, "phone", ask.phone, cipher) if ask.phone else None,
        phone_hash=cipher.blind("phone", ask.phone) if ask.phone else None,
        name=await seal_field(tx, user_id, "name", ask.name, cipher),
        password_hash=ask.password_hash,
        language=ask.language,
        time_zone=ask.time_zone,
        verified_at=tx.now if verified else None,
    )
    return user_id if stored else None


def email_hash_of(typed: str, cipher: Cipher) -> bytes:
    """The keyed hash that finds an account by any spelling of its address."""
    return cipher.blind("email", normal_email(typed))
