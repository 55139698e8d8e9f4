"""An administrator brings a doctor in: invites, and lists them once their registration number is checked."""

from __future__ import annotations

from server.accounts import InviteUser, invite_user
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.ids import DoctorId, new_id
from server.core.tx import Role, Tx
from server.doctors import queries
from server.doctors.events import DoctorVerified
from server.doctors.models import AddDoctor, DoctorAsk, InviteDoctor, ManagedDoctor
from server.doctors.search import search_text


async def invite_doctor(tx: Tx, ask: InviteDoctor, *, cipher: Cipher) -> ManagedDoctor:
    """Make a doctor's account and profile; the invitation goes out by mail. Raises AddressTaken."""
    user_id = await invite_user(
        tx,
        InviteUser(
            email=ask.email,
            name=ask.name,
            role=Role.DOCTOR,
            phone=ask.phone,
            language=ask.language,
            time_zone=ask.time_zone,
        ),
        cipher=cipher,
    )
    return await add_doctor(
        tx,
        AddDoctor(
            user_id=user_id,
            name=ask.name,
            specialty=ask.specialty,
            languages=ask.languages,
            registration_number=ask.registration_number,
            fee=ask.fee,
            currency=ask.currency,
            about=ask.about,
            time_zone=ask.time_zone,
        ),
    )


async def add_doctor(tx: Tx, ask: AddDoctor) -> ManagedDoctor:
    """Give a user the profile of a doctor, not listed yet."""
    languages = list(dict.fromkeys(ask.languages))
    doctor = ManagedDoctor(
        id=DoctorId(new_id(tx.now)),
        user_id=ask.user_id,
        name=ask.name,
        specialty=ask.specialty,
        languages=languages,
        fee=ask.fee,
        currency=ask.currency,
        time_zone=ask.time_zone,
        about=ask.about or "",
        registration_number=ask.registration_number,
        verified_at=None,
    )
    await queries.add(tx, doctor, search_text(doctor.name, doctor.specialty, languages, doctor.about))
    return doctor


async def verify_doctor(tx: Tx, ask: DoctorAsk) -> ManagedDoctor:
    """List a doctor whose registration number was checked. A second call changes nothing. Raises NotFound."""
    if await queries.verify(tx, ask.id):
        tx.emit(DoctorVerified(doctor_id=ask.id))
    found = await queries.read(tx, ask.id)
    if found is None:
        raise NotFound
    return found
