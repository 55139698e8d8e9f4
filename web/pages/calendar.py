"""A doctor's calendar: a week of what is free and booked, leave with what is booked inside it, extra hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints

from server.booking import LeaveHasConsultations, TakeLeave, inside_leave, take_leave
from server.consultations import OfConsultation, meeting
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.errors import FieldError, Invalid, Problem
from server.core.models import Ask, Nothing
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_doctor, form, get, page, post, redirect
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.doctors import DoctorAsk, profile
from server.scheduling import (
    AddExtraHours,
    BookedSlot,
    CalendarSlot,
    DoctorCalendar,
    FromTo,
    Hours,
    OfCalendar,
    OneExtraHours,
    OneLeave,
    ReadCalendar,
    add_extra_hours,
    end_extra_hours,
    end_leave,
    list_extra_hours,
    list_leave,
    read_calendar,
    read_hours,
)
from web.calendar_views import CalendarDay, CalendarItem, CalendarView, ExtraItem, LeaveItem
from web.pages.hours import WORDS, own_calendar_of, planned
from web.staff_views import PlannedItem
from web.views import DoctorItem, FieldProblem

DAYS = 7
NEAR = timedelta(days=370)
MOST_NAMED = 60
Text = Annotated[str, StringConstraints(strip_whitespace=True, max_length=40), Level.CRITICAL]


class ShowCalendar(Ask):
    """The week that a day lies in; without one, this week."""

    since: date | None = Field(default=None, alias="from")


class LeaveForm(Ask):
    """Leave by the calendar's wall clock, as a browser's date fields give it, and what becomes of who is booked."""

    leave_from: Text = ""
    leave_to: Text = ""
    booked: Text = "refuse"


class ExtraForm(Ask):
    """Extra hours by the calendar's wall clock."""

    extra_from: Text = ""
    extra_to: Text = ""


class OfLeave(Ask):
    """A leave of one's own."""

    leave_id: UUID


class OfExtraHours(Ask):
    """Extra hours of one's own."""

    extra_id: UUID


async def show_calendar(tx: Tx, ask: ShowCalendar, *, cipher: Cipher) -> CalendarView:
    """The week, by the clock of the calendar."""
    doctor_id = own_calendar_of(tx)
    hours = await read_hours(tx, OfCalendar(id=doctor_id))
    zone = ZoneInfo(hours.time_zone)
    today = tx.now.astimezone(zone).date()
    asked = ask.since if ask.since is not None and abs(ask.since - today) < NEAR else today
    monday = asked - timedelta(days=asked.weekday())
    begins, ends = (datetime.combine(monday + timedelta(days=n), time(), zone) for n in (0, DAYS))
    found = await read_calendar(tx, ReadCalendar(id=doctor_id, from_time=begins, to_time=ends))
    names = await _names(tx, found.items, cipher)
    leave = await list_leave(tx, OfCalendar(id=doctor_id))
    extra = await list_extra_hours(tx, OfCalendar(id=doctor_id))
    return CalendarView(
        doctor=DoctorItem.model_validate(await profile(tx, DoctorAsk(id=doctor_id))),
        time_zone=hours.time_zone,
        days=[_day(monday + timedelta(days=n), today, found, hours, names) for n in range(DAYS)],
        earlier_url=_week(monday - timedelta(days=DAYS)),
        later_url=_week(monday + timedelta(days=DAYS)),
        today_url=None if monday <= today < monday + timedelta(days=DAYS) else "/calendar",
        leave=[
            LeaveItem(id=away.id, from_time=away.from_time, to_time=away.to_time, booked=len(away.booked))
            for away in leave.items
        ],
        extra=[ExtraItem.model_validate(once) for once in extra.items],
    )


async def take_leave_by_form(
    run: Run, ask: LeaveForm, *, cipher: Cipher, settings: Settings
) -> SeeOther | CalendarView:
    """Leave. Where patients have booked in it the page shows them and asks first."""
    typed = ask.model_dump(exclude={"booked"})
    try:
        leave = build(TakeLeave, {**await _times(run, ask.leave_from, ask.leave_to), "booked": ask.booked})
        try:
            taken = await take_leave(run, leave, cipher=cipher, settings=settings)
        except LeaveHasConsultations:
            inside = await run.read(partial(_inside, cipher=cipher), leave)
            return (await _again(run, cipher)).model_copy(update={**typed, "inside": inside})
    except Problem as problem:
        return (await _again(run, cipher)).refused(problem, **typed, errors=_beside("leave", problem))
    left = [held for held in taken.booked if held.outcome == "left"]
    if left:
        names = await run.read(partial(_named, cipher=cipher), left)
        return (await _again(run, cipher)).model_copy(update={"left": names})
    return SeeOther(location=_week(taken.from_time.astimezone(await _zone(run)).date()), notice="saved")


async def add_extra_by_form(run: Run, ask: ExtraForm, *, cipher: Cipher, settings: Settings) -> SeeOther | CalendarView:
    """Extra hours: their slots are there at once."""
    try:
        extra = build(AddExtraHours, await _times(run, ask.extra_from, ask.extra_to))
        added = await run(partial(add_extra_hours, settings=settings), extra)
    except Problem as problem:
        return (await _again(run, cipher)).refused(problem, **ask.model_dump(), errors=_beside("extra", problem))
    return SeeOther(location=_week(added.from_time.astimezone(await _zone(run)).date()), notice="saved")


async def end_leave_by_form(tx: Tx, ask: OfLeave, *, settings: Settings) -> SeeOther:
    """Take leave back: its slots come back."""
    await end_leave(tx, OneLeave(id=own_calendar_of(tx), leave_id=ask.leave_id), settings=settings)
    return SeeOther(location="/calendar", notice="saved")


async def end_extra_by_form(tx: Tx, ask: OfExtraHours, *, settings: Settings) -> SeeOther:
    """Take extra hours back: their free slots go."""
    await end_extra_hours(tx, OneExtraHours(id=own_calendar_of(tx), extra_id=ask.extra_id), settings=settings)
    return SeeOther(location="/calendar", notice="saved")


async def _again(run: Run, cipher: Cipher) -> CalendarView:
    return await run.read(partial(show_calendar, cipher=cipher), ShowCalendar())


async def _zone(run: Run) -> ZoneInfo:
    async def read(tx: Tx, ask: Nothing) -> str:
        del ask
        return (await read_hours(tx, OfCalendar(id=own_calendar_of(tx)))).time_zone

    return ZoneInfo(await run.read(read, Nothing()))


async def _times(run: Run, begin: str, end: str) -> dict[str, object]:
    """What was typed, as instants: by the calendar's wall clock where it does not say otherwise. Raises Invalid."""
    zone = await _zone(run)
    times: dict[str, object] = {"id": str(run.actor.doctor_id)}
    errors: list[FieldError] = []
    for field, text in (("from", begin), ("to", end)):
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            errors.append(FieldError(field=field, code="value_error", message="A date and a time."))
            continue
        times[field] = (at if at.tzinfo else at.replace(tzinfo=zone)).isoformat(timespec="seconds")
    if errors:
        raise Invalid(errors=errors)
    return times


def _beside(form: str, problem: Problem) -> list[FieldProblem]:
    """What was wrong, beside the fields of the form that was sent."""
    return [
        FieldProblem(field=f"{form}_{error.field}", code=WORDS.get(error.code, error.code), message=error.message)
        for error in problem.errors
    ]


async def _inside(tx: Tx, ask: FromTo, *, cipher: Cipher) -> list[PlannedItem]:
    return await _named(tx, await inside_leave(tx, ask), cipher=cipher)


async def _named(tx: Tx, ask: Sequence[BookedSlot], *, cipher: Cipher) -> list[PlannedItem]:
    return [await planned(tx, held, cipher) for held in ask[:MOST_NAMED]]


async def _names(tx: Tx, slots: Sequence[CalendarSlot], cipher: Cipher) -> dict[UUID, str]:
    return {
        slot.consultation_id: (await meeting(tx, OfConsultation(id=slot.consultation_id), cipher=cipher)).patient_name
        for slot in slots
        if slot.consultation_id is not None
    }


def _day(day: date, today: date, found: DoctorCalendar, hours: Hours, names: Mapping[UUID, str]) -> CalendarDay:
    zone = ZoneInfo(hours.time_zone)
    begins, ends = (datetime.combine(day + timedelta(days=n), time(), zone).astimezone(UTC) for n in (0, 1))
    slots = [slot for slot in found.items if begins <= slot.start_time < ends]
    booked = [slot for slot in slots if slot.consultation_id is not None]
    items = _in_runs(slots, timedelta(minutes=hours.buffer_minutes), names)
    items += [
        CalendarItem(kind="leave", start_time=max(away.from_time, begins), end_time=min(away.to_time, ends))
        for away in found.leave
        if away.from_time < ends and away.to_time > begins
    ]
    return CalendarDay(
        date=day,
        items=sorted(items, key=lambda item: (item.start_time, item.kind != "leave")),
        free=len(slots) - len(booked),
        booked=len(booked),
        is_today=day == today,
        is_past=day < today,
        full=hours.daily_limit is not None and len(booked) >= hours.daily_limit,
    )


def _in_runs(slots: Sequence[CalendarSlot], pause: timedelta, names: Mapping[UUID, str]) -> list[CalendarItem]:
    """Free slots that follow each other as one; booked ones each by itself."""
    items: list[CalendarItem] = []
    for slot in slots:
        last = items[-1] if items else None
        if slot.consultation_id is not None:
            named = {"patient_name": names.get(slot.consultation_id, "")}
            items.append(CalendarItem.model_validate({**dict(slot), "kind": "booked", **named}))
        elif (
            last is not None
            and last.kind == "free"
            and last.extra == slot.extra
            and slot.start_time - last.end_time <= pause
        ):
            items[-1] = last.model_copy(update={"end_time": slot.end_time, "count": last.count + 1})
        else:
            items.append(CalendarItem.model_validate({**dict(slot), "kind": "free"}))
    return items


def _week(day: date) -> str:
    return f"/calendar?from={day.isoformat()}"


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The pages of a doctor's calendar."""
    house: dict[str, Any] = {"cipher": cipher, "settings": settings}
    shown = page("staff/calendar.html")
    return [
        get("/calendar", partial(show_calendar, cipher=cipher), access=as_doctor, reply=shown),
        post("/calendar/leave", partial(take_leave_by_form, **house), access=as_doctor, body=form, reply=shown),
        post("/calendar/extra-hours", partial(add_extra_by_form, **house), access=as_doctor, body=form, reply=shown),
        post(
            "/calendar/leave/{leave_id}/end",
            partial(end_leave_by_form, settings=settings),
            access=as_doctor,
            body=form,
            reply=redirect,
        ),
        post(
            "/calendar/extra-hours/{extra_id}/end",
            partial(end_extra_by_form, settings=settings),
            access=as_doctor,
            body=form,
            reply=redirect,
        ),
    ]
