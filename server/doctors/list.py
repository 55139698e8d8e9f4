"""Find doctors: public lists by specialty, language and words, and the administrators' list of all."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import cast
from uuid import UUID

from pydantic import ValidationError

from server.core.cache import Cache
from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import DoctorId, UserId
from server.core.models import Nothing
from server.core.routes import Encoded
from server.core.tx import Run, Tx
from server.doctors import queries
from server.doctors.events import LISTED_KEY, doctor_key
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


async def list_doctors(run: Run, ask: ListDoctors, *, cache: Cache) -> Encoded[Doctors]:
    """A page of verified doctors by name, at most a second old. Raises Invalid for a cursor that is not ours."""

    async def page_of(tx: Tx, ask: ListDoctors) -> bytes:
        return (await find_doctors(tx, ask)).model_dump_json().encode()

    asked = hashlib.sha256(ask.model_dump_json().encode()).hexdigest()
    return Encoded(await cache.read(LISTED_KEY, asked, lambda _: run.glance(page_of, ask)))


async def read_doctor(run: Run, ask: DoctorAsk, *, cache: Cache) -> Encoded[PublicDoctor]:
    """One doctor, at most a second old; the doctor's own profile also before it is verified. Raises NotFound."""

    async def read(tx: Tx, ask: DoctorAsk) -> bytes:
        return (await doctor(tx, ask.id)).model_dump_json().encode()

    async def read_own(tx: Tx, ask: DoctorAsk) -> bytes:
        return (await profile(tx, ask)).model_dump_json().encode()

    if run.actor.doctor_id == ask.id:
        return Encoded(await run.read(read_own, ask))
    return Encoded(await cache.read(doctor_key(ask.id), "profile", lambda _: run.glance(read, ask)))


async def find_doctors(tx: Tx, ask: ListDoctors) -> Doctors:
    """A page of verified doctors by name, as it is now. Raises Invalid for a cursor that is not ours."""
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


async def profile(tx: Tx, ask: DoctorAsk) -> PublicDoctor:
    """One doctor as they are now; the doctor's own profile also before it is verified. Raises NotFound."""
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


async def specialties(run: Run, *, cache: Cache) -> list[str]:
    """What listed doctors are, at most a second old: the choices of a search."""

    async def read(tx: Tx, ask: Nothing) -> bytes:
        return json.dumps(await queries.specialties(tx)).encode()

    return cast(
        "list[str]", json.loads(await cache.read(LISTED_KEY, "specialties", lambda _: run.glance(read, Nothing())))
    )


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
