"""Finding a doctor: the list with next free times, and one doctor with live slots."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from pydantic import Field, StringConstraints

from server.consultations import consultation
from server.core.cache import Cache
from server.core.errors import NotFound
from server.core.ids import ConsultationId, DoctorId
from server.core.models import Ask
from server.core.privacy import Level
from server.core.routes import Route, get, page, public
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.doctors import LANGUAGE_NAMES, Doctors, ListDoctors, PublicDoctor, doctor, list_doctors, specialties
from server.scheduling import ListSlots, NextTimes, bookable, next_times, read_slots
from web.views import ConsultationItem, DoctorCard, DoctorItem, DoctorView, HomeView, SlotItem

TIMES_SHOWN = 7
WINDOW = timedelta(days=7)
Filter = Annotated[str, StringConstraints(strip_whitespace=True, max_length=100), Level.PUBLIC]


class ShowHome(Ask):
    """The filters of the list; empty ones do not filter."""

    q: Filter = ""
    specialty: Filter = ""
    language: Filter = ""
    cursor: Filter = ""


class ShowDoctor(Ask):
    """A doctor, from which day on, the slot chosen, and the consultation that looks for another time."""

    id: DoctorId
    since: date | None = Field(default=None, alias="from")
    slot_id: UUID | None = None
    move: ConsultationId | None = None


async def show_home(run: Run, ask: ShowHome, *, settings: Settings, cache: Cache) -> HomeView:
    """The doctors who fit with their next free times, and the soonest of all; from what is kept of lists."""
    wanted = ListDoctors(
        specialty=ask.specialty or None, language=ask.language or None, q=ask.q or None, cursor=ask.cursor or None
    )
    found = Doctors.model_validate_json((await list_doctors(run, wanted, cache=cache)).body)
    times = await asyncio.gather(
        *(next_times(run, item.id, settings=settings, cache=cache, most=TIMES_SHOWN) for item in found.items)
    )
    cards = [_card(item, its) for item, its in zip(found.items, times, strict=True)]
    with_times = [card for card in cards if card.slots]
    next_url = None
    if found.next_cursor:
        filters = {"q": ask.q, "specialty": ask.specialty, "language": ask.language, "cursor": found.next_cursor}
        next_url = "/?" + urlencode({name: value for name, value in filters.items() if value})
    return HomeView(
        q=ask.q,
        specialty=ask.specialty,
        language=ask.language,
        specialties=await specialties(run, cache=cache),
        languages=list(LANGUAGE_NAMES),
        doctors=sorted(with_times, key=lambda card: card.slots[0].start_time)
        + [card for card in cards if not card.slots],
        soonest=min(with_times, key=lambda card: card.slots[0].start_time, default=None),
        next_url=next_url,
    )


async def show_doctor(tx: Tx, ask: ShowDoctor, *, settings: Settings) -> DoctorView:
    """A week of a doctor's slots, with the room that keeps them true and the number they are true at."""
    found = await doctor(tx, ask.id)
    zone = ZoneInfo(tx.actor.time_zone)
    today = tx.now.astimezone(zone).date()
    since = max(ask.since or today, today)
    begins = tx.now if since == today else datetime.combine(since, time(), zone).astimezone(UTC)
    listed = await read_slots(tx, ListSlots(id=ask.id, from_time=begins, to_time=begins + WINDOW), settings=settings)
    rules = await bookable(tx, ask.id, settings=settings)
    last = min(rules.until.astimezone(zone).date(), today + timedelta(days=settings.slots_days_ahead))
    moving = None
    if ask.move is not None:
        moving = await consultation(tx, ask.move)
        if moving.patient_id != tx.actor.patient_id:
            raise NotFound
    kept = {name: str(value) for name, value in (("move", ask.move),) if value}
    later = since + WINDOW

    def at(day: date) -> str:
        return f"/doctors/{ask.id}?" + urlencode({"from": day.isoformat(), **kept})

    return DoctorView(
        doctor=DoctorItem.model_validate(found),
        slots=[SlotItem.model_validate(item) for item in listed.items],
        room=listed.room,
        offset=listed.offset,
        lead=(rules.after - tx.now) // timedelta(minutes=1),
        earlier_url=at(max(today, since - WINDOW)) if since > today else None,
        later_url=at(later) if later <= last else None,
        chosen=ask.slot_id,
        moving=ConsultationItem.model_validate(moving) if moving else None,
        idempotency_key=uuid4().hex,
        walk_in_key=uuid4().hex,
        wait_days=(today, today + WINDOW),
    )


def _card(found: PublicDoctor, its: NextTimes) -> DoctorCard:
    return DoctorCard(
        doctor=DoctorItem.model_validate(found),
        slots=[SlotItem.model_validate(slot) for slot in its.slots],
        lead=its.lead_minutes,
    )


def routes(settings: Settings, cache: Cache) -> list[Route]:
    """The pages that everybody may open."""
    return [
        get("/", partial(show_home, settings=settings, cache=cache), access=public, reply=page("home.html")),
        get("/doctors/{id}", partial(show_doctor, settings=settings), access=public, reply=page("doctor.html")),
    ]
