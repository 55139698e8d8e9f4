"""All SQL of doctors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from asyncpg import Record

from server.core.ids import DoctorId, UserId
from server.core.tx import Tx
from server.doctors.models import ManagedDoctor, Page, PublicDoctor

FIELDS = """
    id, user_id, name, specialty, languages, fee_minor, currency, time_zone, about, registration_number, verified_at,
    walk_ins
"""
READ = f"select {FIELDS} from doctors where id = $1"  # noqa: S608 - constants
READ_OF_USER = f"select {FIELDS} from doctors where user_id = $1"  # noqa: S608 - constants
# The collation is named so that pages meet whatever the database's own is.
LIST = f"""
    select {FIELDS} from doctors
     where verified_at is not null
       and ($1::text is null or lower(specialty) = lower($1))
       and ($2::text is null or $2 = any(languages))
       and search_text like all ($3::text[])
       and ($4::text is null or (name collate "C", id) > ($4 collate "C", $5::uuid))
     order by name collate "C", id
     limit $6
"""  # noqa: S608 - constants
LIST_MANAGED = f"""
    select {FIELDS} from doctors where ($1::uuid is null or id < $1) order by id desc limit $2
"""  # noqa: S608 - constants
SPECIALTIES = """
    select distinct specialty collate "C" as specialty from doctors where verified_at is not null order by 1 limit 200
"""
ADD = """
    insert into doctors (id, user_id, name, specialty, languages, about, registration_number, fee_minor, currency,
                         time_zone, search_text, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""
LOCK = f"select {FIELDS} from doctors where id = $1 for update"  # noqa: S608 - constants
CHANGE = """
    update doctors set name = $2, specialty = $3, languages = $4, about = $5, fee_minor = $6, currency = $7,
                       search_text = $8, walk_ins = $9
     where id = $1
"""
VERIFY = "update doctors set verified_at = $2 where id = $1 and verified_at is null returning id"


async def read(tx: Tx, doctor_id: DoctorId) -> ManagedDoctor | None:
    """A doctor, listed or not."""
    return _doctor(await tx.conn.fetchrow(READ, doctor_id))


async def read_of_user(tx: Tx, user_id: UserId) -> ManagedDoctor | None:
    """The doctor that a user is."""
    return _doctor(await tx.conn.fetchrow(READ_OF_USER, user_id))


async def lock(tx: Tx, doctor_id: DoctorId) -> ManagedDoctor | None:
    """A doctor, theirs to change until the transaction ends."""
    return _doctor(await tx.conn.fetchrow(LOCK, doctor_id))


async def list_public(
    tx: Tx, specialty: str | None, language: str | None, patterns: Sequence[str], after: Page | None, limit: int
) -> list[PublicDoctor]:
    """Verified doctors by name."""
    rows = await tx.conn.fetch(
        LIST, specialty, language, list(patterns), after.name if after else None, after.id if after else None, limit
    )
    return [public(doctor) for doctor in map(_doctor, rows) if doctor is not None]


async def list_managed(tx: Tx, below: DoctorId | None, limit: int) -> list[ManagedDoctor]:
    """All doctors, newest first."""
    return [doctor for doctor in map(_doctor, await tx.conn.fetch(LIST_MANAGED, below, limit)) if doctor is not None]


async def specialties(tx: Tx) -> list[str]:
    """The specialties that listed doctors have, by name."""
    return [cast(str, row["specialty"]) for row in await tx.conn.fetch(SPECIALTIES)]


async def add(tx: Tx, doctor: ManagedDoctor, search_text: str) -> None:
    """Store a doctor."""
    await tx.conn.execute(
        ADD,
        doctor.id,
        doctor.user_id,
        doctor.name,
        doctor.specialty,
        doctor.languages,
        doctor.about,
        doctor.registration_number,
        doctor.fee,
        doctor.currency,
        doctor.time_zone,
        search_text,
        tx.now,
    )


async def change(tx: Tx, doctor: ManagedDoctor, search_text: str) -> None:
    """Store a profile as it now is."""
    await tx.conn.execute(
        CHANGE,
        doctor.id,
        doctor.name,
        doctor.specialty,
        doctor.languages,
        doctor.about,
        doctor.fee,
        doctor.currency,
        search_text,
        doctor.walk_ins,
    )


async def verify(tx: Tx, doctor_id: DoctorId) -> bool:
    """List a doctor; False if that was so, or there is none."""
    return await tx.conn.fetchval(VERIFY, doctor_id, tx.now) is not None


def public(doctor: ManagedDoctor) -> PublicDoctor:
    """What everybody may see."""
    return PublicDoctor(**{name: getattr(doctor, name) for name in PublicDoctor.model_fields})


def _doctor(row: Record | None) -> ManagedDoctor | None:
    if row is None:
        return None
    fields = dict(row)
    return ManagedDoctor(fee=fields.pop("fee_minor"), **fields)
