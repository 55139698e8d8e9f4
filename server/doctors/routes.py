"""What can be asked of doctors."""

from __future__ import annotations

from functools import partial

from server.accounts import AddressTaken
from server.core.cache import Cache
from server.core.cipher import Cipher
from server.core.errors import Invalid, NotFound
from server.core.limits import MAILING
from server.core.routes import Route, as_admin, as_doctor, get, patch, post, public
from server.doctors.change import change_doctor, is_own_profile
from server.doctors.invite import invite_doctor, verify_doctor
from server.doctors.list import list_doctors, list_managed_doctors, read_doctor

TAGS = ("doctors",)


def routes(cipher: Cipher, cache: Cache) -> list[Route]:
    """The lines of doctors."""
    return [
        get("/doctors", partial(list_doctors, cache=cache), access=public, raises=[Invalid], tags=TAGS),
        get("/doctors/{id}", partial(read_doctor, cache=cache), access=public, raises=[NotFound], tags=TAGS),
        patch(
            "/doctors/{id}",
            change_doctor,
            access=as_doctor.and_("own profile", is_own_profile),
            raises=[NotFound, Invalid],
            tags=TAGS,
        ),
        get("/admin/doctors", list_managed_doctors, access=as_admin, raises=[Invalid], tags=TAGS),
        post(
            "/admin/doctors",
            partial(invite_doctor, cipher=cipher),
            status=201,
            access=as_admin,
            budget=MAILING,
            raises=[AddressTaken, Invalid],
            tags=TAGS,
        ),
        post("/admin/doctors/{id}/verify", verify_doctor, access=as_admin, raises=[NotFound], tags=TAGS),
    ]
