"""A doctor's hours: the week as a form, how slots are cut, and by which rules they are booked."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import StringConstraints, create_model

from server.consultations import OfConsultation, meeting
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.errors import FieldError, Forbidden, Problem
from server.core.ids import DoctorId
from server.core.models import Ask, Nothing, time_zones
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_doctor, form, get, page, post
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.doctors import DoctorAsk, profile
from server.scheduling import BookedSlot, OfCalendar, SetHours, read_hours, set_hours
from web.calendar_views import HoursRow, HoursView
from web.staff_views import PlannedItem
from web.views import DoctorItem, FieldProblem

HOUR_ROWS = 21
NAMED = 20  # booked slots outside the hours that the page names; no doctor decides about more at a time
WORDS = {"too-short": "no-slot-fits"}  # elsewhere the same code speaks of passwords
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), Level.CRITICAL]


class _HoursFields(Ask):
    time_zone: Text = "Asia/Kolkata"
    slot_minutes: Text = "15"
    buffer_minutes: Text = "0"
    lead_minutes: Text = "0"
    horizon_days: Text = "60"
    daily_limit: Text = ""


# The form's rows are numbered fields: `weekday_1`, `from_1`, `to_1` and so on.
_ROWS: dict[str, Any] = {
    f"{part}_{row}": (Text, "") for row in range(1, HOUR_ROWS + 1) for part in ("weekday", "from", "to")
}
if TYPE_CHECKING:
    HoursForm = _HoursFields
else:
    HoursForm = create_model("HoursForm", __base__=_HoursFields, **_ROWS)


async def show_hours(tx: Tx, ask: Nothing, *, cipher: Cipher, settings: Settings) -> HoursView:
    """The week as it is."""
    del ask
    doctor_id = own_calendar_of(tx)
    hours = await read_hours(tx, OfCalendar(id=doctor_id))
    rows = [HoursRow.model_validate(period) for period in hours.weekly]
    return HoursView(
        doctor=DoctorItem.model_validate(await profile(tx, DoctorAsk(id=doctor_id))),
        rows=[*rows, *(HoursRow(weekday=0) for _ in range(HOUR_ROWS - len(rows)))],
        time_zone=hours.time_zone,
        time_zones=sorted(time_zones()),
        slot_minutes=str(hours.slot_minutes),
        buffer_minutes=str(hours.buffer_minutes),
        lead_minutes=str(hours.lead_minutes),
        horizon_days=str(hours.horizon_days),
        daily_limit="" if hours.daily_limit is None else str(hours.daily_limit),
        house_lead=settings.lead,
        most_days=settings.slots_days_ahead,
        booked_outside=[await planned(tx, held, cipher) for held in hours.booked_outside[:NAMED]],
    )


async def set_hours_by_form(run: Run, ask: HoursForm, *, cipher: Cipher, settings: Settings) -> SeeOther | HoursView:
    """Replace the week; what was typed comes back when it cannot be."""
    rows = [
        HoursRow(
            weekday=int(weekday) if (weekday := str(getattr(ask, f"weekday_{row}"))).isdecimal() else 0,
            from_wall=str(getattr(ask, f"from_{row}")),
            to_wall=str(getattr(ask, f"to_{row}")),
        )
        for row in range(1, HOUR_ROWS + 1)
    ]
    given = [row for row in rows if row.weekday and row.from_wall and row.to_wall]
    numbers = ("slot_minutes", "buffer_minutes", "lead_minutes", "horizon_days")
    fields: dict[str, object] = {
        "id": str(run.actor.doctor_id),
        "time_zone": ask.time_zone,
        **{name: _number(getattr(ask, name)) for name in numbers},
        "daily_limit": _number(ask.daily_limit) if ask.daily_limit else None,
        "weekly": [
            {"weekday": row.weekday, "from": row.from_wall, "to": "24:00" if row.to_wall == "00:00" else row.to_wall}
            for row in given
        ],
    }
    try:
        await run(partial(set_hours, settings=settings), build(SetHours, fields))
    except Problem as problem:
        view = await run.read(partial(show_hours, cipher=cipher, settings=settings), Nothing())
        return view.refused(
            problem,
            **ask.model_dump(include={*numbers, "daily_limit", "time_zone"}),
            rows=rows,
            errors=[_beside(error, [rows.index(row) + 1 for row in given]) for error in problem.errors],
        )
    return SeeOther(location="/hours", notice="saved")


async def planned(tx: Tx, held: BookedSlot, cipher: Cipher) -> PlannedItem:
    """A booked slot with its patient's name."""
    found = await meeting(tx, OfConsultation(id=held.consultation_id), cipher=cipher)
    return PlannedItem(
        consultation_id=held.consultation_id, patient_name=found.patient_name, start_time=held.start_time
    )


def own_calendar_of(tx: Tx) -> DoctorId:
    """The doctor who acts. Raises Forbidden for anybody else."""
    if tx.actor.doctor_id is None:
        raise Forbidden
    return tx.actor.doctor_id


def _number(text: str) -> object:
    return int(text) if text.isdecimal() and len(text) < 10 else text


def _beside(error: FieldError, rows: Sequence[int]) -> FieldProblem:
    """An error of the third period is said beside the row that it was typed in."""
    code = WORDS.get(error.code, error.code)
    parts = error.field.split(".")
    if parts[0] == "weekly" and len(parts) > 1 and parts[1].isdecimal() and int(parts[1]) < len(rows):
        return FieldProblem(field=f"to_{rows[int(parts[1])]}", code=code, message=error.message)
    return FieldProblem(field=error.field, code=code, message=error.message)


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The page of hours."""
    house: dict[str, Any] = {"cipher": cipher, "settings": settings}
    hours = page("staff/hours.html")
    return [
        get("/hours", partial(show_hours, **house), access=as_doctor, reply=hours),
        post("/hours", partial(set_hours_by_form, **house), access=as_doctor, body=form, reply=hours),
    ]
