"""Find doctors: public lists by specialty, language and words, and the administrators' list of all."""

from __future__ import annotations

import base64
from uuid import UUID

from pydantic import ValidationError

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import DoctorId, UserId
from server.core.tx import Tx
from server.doctors import queries
from server.doctors.languages import language_code
from server.doctors.models import (
    DoctorAsk,
    Doctors,
    ListDoctors,
    ListManaged,
    ManagedDoctor,
    ManagedDoctors,
    Page,
    PublicDoctor,
)
from server.doctors.search import patterns

PAGE = 20
MANAGED_PAGE = 50


async def list_doctors(tx: Tx, ask: ListDoctors) -> Doctors:
    """A page of verified doctors by name. Raises Invalid for a cursor that is not ours."""
    found = await queries.list_public(
        tx,
        ask.specialty,
        language_code(ask.language) if ask.language is not None else None,
        patterns(ask.q or ""),
        _page(ask.cursor),
        PAGE + 1,
    )
    items = found[:PAGE]
    return Doctors(items=items, next_cursor=_cursor(items[-1]) if len(found) > PAGE else None)


async def read_doctor(tx: Tx, ask: DoctorAsk) -> PublicDoctor:
    """One doctor; the doctor's own profile also before it is verified. Raises NotFound."""
    found = await queries.read(tx, ask.id)
    if found is None or (found.verified_at is None and tx.actor.doctor_id != found.id):
        raise NotFound
    return queries.public(found)


async def doctor(tx: Tx, doctor_id: DoctorId) -> PublicDoctor:
    """One verified doctor. Raises NotFound."""
    found = await queries.read(tx, doctor_id)
    if found is None or found.verified_at is None:
        raise NotFound
    return queries.public(found)


async def doctor_of_user(tx: Tx, user_id: UserId) -> ManagedDoctor | None:
    """The doctor that a user is, verified or not."""
    return await queries.read_of_user(tx, user_id)


async def specialties(tx: Tx) -> list[str]:
    """What listed doctors are: the choices of a search."""
    return await queries.specialties(tx)


async def list_managed_doctors(tx: Tx, ask: ListManaged) -> ManagedDoctors:
    """All doctors, newest first, for administrators. Raises Invalid for a cursor that is not ours."""
    try:
        below = DoctorId(UUID(ask.cursor)) if ask.cursor is not None else None
    except ValueError:
        raise _not_ours() from None
    found = await queries.list_managed(tx, below, MANAGED_PAGE + 1)
    items = found[:MANAGED_PAGE]
    return ManagedDoctors(items=items, next_cursor=str(items[-1].id) if len(found) > MANAGED_PAGE else None)


def _cursor(last: PublicDoctor) -> str:
    page = Page(name=last.name, id=last.id).model_dump_json()
    return base64.urlsafe_b64encode(page.encode()).decode().rstrip("=")


def _page(cursor: str | None) -> Page | None:
    if cursor is None:
        return None
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        page = Page.model_validate_json(packed)
    except (ValueError, ValidationError):
        raise _not_ours() from None
    if "\0" in page.name:
        raise _not_ours()
    return page


def _not_ours() -> Invalid:
    return Invalid(errors=[FieldError(field="cursor", code="cursor", message="Not one of our cursors.")])
