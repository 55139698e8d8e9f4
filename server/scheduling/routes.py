"""What can be asked of scheduling."""

from __future__ import annotations

from functools import partial

from server.core.errors import Invalid, NotFound
from server.core.routes import Route, as_doctor, as_patient, get, post, public, put
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling.hours import read_hours, set_hours, take_leave
from server.scheduling.list import list_slots
from server.scheduling.models import ReadHours, SetHours, TakeLeave
from server.scheduling.waitlist import join_waitlist, list_wishes


async def is_own_calendar(tx: Tx, ask: SetHours | ReadHours | TakeLeave) -> None:
    """Only the doctor whose calendar it is. Raises NotFound."""
    if tx.actor.doctor_id is None or tx.actor.doctor_id != ask.id:
        raise NotFound


own_calendar = as_doctor.and_("own calendar", is_own_calendar)


def routes(settings: Settings) -> list[Route]:
    """The lines of scheduling."""
    return [
        get(
            "/doctors/{id}/slots",
            partial(list_slots, settings=settings),
            access=public,
            raises=[Invalid, NotFound],
            tags=["scheduling"],
        ),
        get("/doctors/{id}/hours", read_hours, access=own_calendar, raises=[NotFound], tags=["scheduling"]),
        put(
            "/doctors/{id}/hours",
            partial(set_hours, settings=settings),
            access=own_calendar,
            raises=[Invalid, NotFound],
            tags=["scheduling"],
        ),
        post(
            "/doctors/{id}/leave",
            take_leave,
            status=201,
            access=own_calendar,
            raises=[Invalid, NotFound],
            tags=["scheduling"],
        ),
        post(
            "/waitlist", join_waitlist, status=201, access=as_patient, raises=[Invalid, NotFound], tags=["scheduling"]
        ),
        get("/waitlist", list_wishes, access=as_patient, tags=["scheduling"]),
    ]
