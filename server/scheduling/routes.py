"""What can be asked of scheduling."""

from __future__ import annotations

from functools import partial
from typing import Protocol

from server.core.cache import Cache
from server.core.errors import Invalid, NotFound
from server.core.ids import DoctorId
from server.core.routes import Route, as_doctor, as_patient, delete, get, post, public, put
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling.cached import list_slots
from server.scheduling.extra import add_extra_hours, end_extra_hours, list_extra_hours
from server.scheduling.hours import read_hours, set_hours
from server.scheduling.leave import end_leave, list_leave
from server.scheduling.list import read_calendar
from server.scheduling.offer import NoOffer, decline_offer, leave_waitlist
from server.scheduling.waitlist import TooManyWishes, is_own_wish, join_waitlist, list_wishes

TAGS = ("scheduling",)


class NamesDoctor(Protocol):
    """An ask whose address names the doctor."""

    @property
    def id(self) -> DoctorId: ...


async def is_own_calendar(tx: Tx, ask: NamesDoctor) -> None:
    """Only the doctor whose calendar it is. Raises NotFound."""
    if tx.actor.doctor_id is None or tx.actor.doctor_id != ask.id:
        raise NotFound


own_calendar = as_doctor.and_("own calendar", is_own_calendar)


def routes(settings: Settings, cache: Cache) -> list[Route]:
    """The lines of scheduling."""
    return [
        get(
            "/doctors/{id}/slots",
            partial(list_slots, settings=settings, cache=cache),
            access=public,
            raises=[Invalid, NotFound],
            tags=TAGS,
        ),
        get(
            "/doctors/{id}/calendar",
            read_calendar,
            access=own_calendar,
            raises=[Invalid, NotFound],
            tags=TAGS,
        ),
        get("/doctors/{id}/hours", read_hours, access=own_calendar, raises=[NotFound], tags=TAGS),
        put(
            "/doctors/{id}/hours",
            partial(set_hours, settings=settings),
            access=own_calendar,
            raises=[Invalid, NotFound],
            tags=TAGS,
        ),
        get("/doctors/{id}/leave", list_leave, access=own_calendar, raises=[NotFound], tags=TAGS),
        delete(
            "/doctors/{id}/leave/{leave_id}",
            partial(end_leave, settings=settings),
            access=own_calendar,
            raises=[NotFound],
            tags=TAGS,
        ),
        get("/doctors/{id}/extra-hours", list_extra_hours, access=own_calendar, raises=[NotFound], tags=TAGS),
        post(
            "/doctors/{id}/extra-hours",
            partial(add_extra_hours, settings=settings),
            status=201,
            access=own_calendar,
            raises=[Invalid, NotFound],
            tags=TAGS,
        ),
        delete(
            "/doctors/{id}/extra-hours/{extra_id}",
            partial(end_extra_hours, settings=settings),
            access=own_calendar,
            raises=[NotFound],
            tags=TAGS,
        ),
        *_waitlist(),
    ]


def _waitlist() -> list[Route]:
    own_wish = as_patient.and_("own wish", is_own_wish)
    tags = ["waitlist"]
    return [
        post(
            "/waitlist",
            join_waitlist,
            status=201,
            access=as_patient,
            raises=[Invalid, NotFound, TooManyWishes],
            tags=tags,
        ),
        get("/waitlist", list_wishes, access=as_patient, tags=tags),
        delete("/waitlist/{id}", leave_waitlist, access=own_wish, raises=[NotFound], tags=tags),
        post("/waitlist/{id}/decline", decline_offer, access=own_wish, raises=[NoOffer, NotFound], tags=tags),
    ]
