"""What people reported about systems like this one: one test a case, named after what they would notice."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar

from realtime.delivery.client import LiveClient
from server.core.clock import utc_now
from tests.house import Cast, Client, House, serving
from tests.test_accounts import mailed_token


def live(client: Client) -> LiveClient:
    """A socket of somebody."""
    return LiveClient(client.base, token=client.token, headers={"X-Forwarded-For": client.address})


def as_page(client: Client) -> dict[str, str]:
    """A browser's headers of somebody who is signed in."""
    return {"Cookie": f"amrutam={client.token}", "Accept": "text/html"}


async def page(client: Client, path: str, language: str = "en") -> str:
    """A page as this person sees it."""
    reader = Client(client.http, client.base, address=client.address)
    answer = await reader.call("GET", f"/{path}?lang={language}", headers=as_page(client))
    assert answer.status == 200, answer.text
    return answer.text


async def hours_of(doctor: Client, begin: str, end: str, minutes: int) -> None:
    """This doctor sees patients on every day in these hours, by the clock of India."""
    answer = await doctor.put(
        f"/doctors/{doctor.me['doctor_id']}/hours",
        time_zone="Asia/Kolkata",
        slot_minutes=minutes,
        weekly=[{"weekday": day, "from": begin, "to": end} for day in range(1, 8)],
    )
    assert answer.status == 200, answer.text


async def mail_with_file(house: House, to: str) -> dict[str, Any]:
    """The first mail to this address that has a file."""
    async with asyncio.timeout(15):
        while True:
            for mail in (await house.stranger().get("//dev/inbox.json")).json:
                if mail["to"] == to and mail["attachments"]:
                    return dict(mail)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/Los_Angeles"])
async def test_list_confirmation_mail_and_calendar_file_name_the_same_day(cast: Cast, zone: str) -> None:
    """S4: the day of a slot at 20:00 UTC, which is another one in India than in California."""
    await hours_of(cast.dr_rao, "01:30", "02:00", 30)
    assert (await cast.asha.patch("/me", time_zone=zone)).status == 200
    [slot] = await cast.slots_of(cast.dr_rao, from_hours=72)  # nearer days have names of their own
    consultation = (await cast.asha.post("/consultations", slot_id=slot["id"])).json
    begins = datetime.fromisoformat(consultation["start_time"])
    assert (begins.hour, begins.minute) == (20, 0)
    local = begins.astimezone(ZoneInfo(zone))
    day, clock = f"{local:%A} {local.day} {local:%B}", f"{local:%H:%M}"
    other = begins.astimezone(ZoneInfo("America/Los_Angeles" if zone == "Asia/Kolkata" else "Asia/Kolkata"))
    text = await page(cast.asha, f"/consultations/{consultation['id']}")
    assert day in text
    assert clock in text
    assert f"{other:%A} {other.day} {other:%B}" not in text
    mail = await mail_with_file(cast.house, cast.asha.me["email"])
    told = mail["text"].replace(",", "")
    assert f"{day} {local.year} {clock}" in told
    assert f"{other:%A} {other.day} {other:%B}" not in told
    assert ("Indian time" if zone == "Asia/Kolkata" else "Pacific") in told
    calendar: Any = Calendar.from_ical(b64decode(mail["attachments"][0]["content_base64"]))
    [event] = calendar.walk("VEVENT")
    assert event.decoded("DTSTART") == begins


@pytest.mark.parametrize("code", ["too-late-to-book", "beyond-horizon"])
async def test_an_old_list_does_not_book_around_a_new_rule(cast: Cast, code: str) -> None:
    """B9: notice and horizon were changed after the slots had been listed; booking and moving obey the new rule."""
    early, middle, late = (await cast.slots_of(cast.dr_rao, 40, from_hours=72))[::19][:3]
    booked = await cast.asha.post("/consultations", slot_id=early["id"])
    assert booked.status == 201
    notice = 7 * 1440 if code == "too-late-to-book" else 0
    if code == "beyond-horizon":
        await cast.house.sql("update doctors set horizon_days = 1")
    async with serving(cast.house.settings.model_copy(update={"lead_minutes": notice})) as (_, strict):
        fresh = await cast.vik.post("/consultations", slot_id=middle["id"], base=strict)
        assert (fresh.status, fresh.code) == (409, code)
        moved = await cast.asha.post(f"/consultations/{booked.json['id']}/reschedule", slot_id=late["id"], base=strict)
        assert (moved.status, moved.code) == (409, code)
    assert await cast.house.value("select count(*) from consultations") == 1
    for slot in (middle, late):
        status = "select status from availability_slots where id = $1"
        assert await cast.house.value(status, slot["id"]) == "AVAILABLE"


async def test_a_day_takes_no_more_bookings_than_the_rule_of_today_allows(cast: Cast) -> None:
    """B9: the daily limit was lowered after the slots had been listed."""
    first, second = await cast.slots_of(cast.dr_rao, 2)
    async with serving(cast.house.settings.model_copy(update={"daily_limit": 1})) as (_, strict):
        assert (await cast.asha.post("/consultations", slot_id=first["id"], base=strict)).status == 201
        refused = await cast.asha.post("/consultations", slot_id=second["id"], base=strict)
        assert (refused.status, refused.code) == (409, "daily-limit")
        assert (await cast.vik.post("/consultations", slot_id=second["id"], base=strict)).status == 201


async def waiting_today(cast: Cast) -> tuple[dict[str, Any], dict[str, Any]]:
    """Asha and Vik have consultations with Dr. Rao, a little later today."""
    first, second = await cast.slots_of(cast.dr_rao, 2)
    pair: list[dict[str, Any]] = []
    for number, (patient, slot) in enumerate(((cast.asha, first), (cast.vik, second))):
        answer = await patient.post("/consultations", slot_id=slot["id"])
        assert answer.status == 201, answer.text
        pair.append(answer.json)
        begins = datetime.now(UTC) + timedelta(seconds=1 + number)  # noqa: TID251 - a test's own clock
        await cast.house.sql(
            "update consultations set start_time = $2, end_time = $3 where id = $1",
            answer.json["id"],
            begins,
            begins + timedelta(minutes=10),
        )
    return pair[0], pair[1]


def order(snapshot: dict[str, Any]) -> list[str]:
    """Who waits, in the order of the queue."""
    waiting = [entry for entry in snapshot["entries"] if entry["position"] is not None]
    return [entry["consultation_id"] for entry in sorted(waiting, key=lambda entry: entry["position"])]


async def test_a_patient_who_comes_back_stands_in_the_queue_once_and_where_they_were(cast: Cast) -> None:
    """W2: two tabs, a browser that dies, another browser: one entry, at its old place."""
    first, second = await waiting_today(cast)
    of = {"consultation_id": first["id"]}
    room = f"consultation:{first['id']}"
    async with live(cast.asha) as tab, live(cast.asha) as other:
        for one in (tab, other):
            await one.watch(room)
            assert (await one.call("waiting.check_in", **of))["position"] == 1
    async with live(cast.vik) as vik:
        assert (await vik.call("waiting.check_in", consultation_id=second["id"]))["position"] == 2
    async with live(cast.asha) as back, live(cast.dr_rao) as rao:
        await back.watch(room)
        assert (await back.call("waiting.check_in", **of))["position"] == 1
        queue = await rao.watch(f"queue:{cast.dr_rao.me['doctor_id']}")
        assert order(queue.snapshot) == [first["id"], second["id"]]


async def test_a_doctor_who_comes_back_sees_everyone_before_the_next_event(cast: Cast) -> None:
    """W3: reload, another network, a second tab: the queue is complete each time."""
    first, second = await waiting_today(cast)
    room = f"queue:{cast.dr_rao.me['doctor_id']}"
    async with live(cast.dr_rao) as rao:
        assert order((await rao.watch(room)).snapshot) == []
    assert (await cast.asha.post(f"/consultations/{first['id']}/check-in", key=None)).status == 200
    async with live(cast.dr_rao) as rao, live(cast.dr_rao) as tab:
        assert order((await rao.watch(room)).snapshot) == [first["id"]]
        assert (await cast.vik.post(f"/consultations/{second['id']}/check-in", key=None)).status == 200
        await rao.until(lambda: rao.rooms[room].events)
        assert order((await tab.watch(room)).snapshot) == [first["id"], second["id"]]
        since = rao.rooms[room].offset
    async with live(cast.dr_rao) as rao:
        assert order((await rao.watch(room)).snapshot) == [first["id"], second["id"]]
        assert rao.rooms[room].offset == since


async def test_a_link_preview_does_not_use_a_link_up(cast: Cast) -> None:
    """I2: GET and HEAD on a reset and an invitation link change nothing; the button of the page does."""
    house: House = cast.house
    new = "a kettle of green tea"
    assert (await house.stranger().post("/auth/reset", key=None, email="patient2@example.org")).status == 202
    invited = await cast.mira.post(
        "/admin/doctors",
        key=None,
        email="new.doctor@example.org",
        name="Dr. New",
        specialty="Dermatology",
        languages=["en"],
        registration_number="KA-77",
        fee=50000,
    )
    assert invited.status == 201, invited.text
    for to, link, act in (
        ("patient2@example.org", "/reset", "/auth/reset/confirm"),
        ("new.doctor@example.org", "/invitation", "/auth/invitation"),
    ):
        token = await mailed_token(house, to, link)
        for method in ("GET", "HEAD") * 3:
            answer = await house.stranger().call(method, f"/{link}?token={token}", headers={"Accept": "text/html"})
            assert answer.status in (200, 405), (method, link, answer.status)
        used = await house.stranger().post(act, key=None, token=token, password=new)
        assert used.status == 200, used.text
        assert (await house.stranger().post(act, key=None, token=token, password=new)).code == "link-over"


@pytest.mark.parametrize(("language", "free"), [("en", "free"), ("hi", "खाली")])
async def test_a_slot_says_its_whole_name_to_who_cannot_see_it(cast: Cast, language: str, free: str) -> None:
    """A1: weekday, date, time, zone, doctor and state, in the page's language."""
    doctor_id = cast.dr_rao.me["doctor_id"]
    doctor = (await cast.house.stranger().get(f"/doctors/{doctor_id}")).json
    text = await page(cast.asha, f"/doctors/{doctor_id}", language)
    buttons = re.findall(r'<button[^>]*name="slot_id"[^>]*>', text)
    assert buttons
    for button in buttons:
        [label] = re.findall(r'aria-label="([^"]+)"', button)
        [start] = re.findall(r'data-start="([^"]+)"', button)
        local = datetime.fromisoformat(start).astimezone(ZoneInfo("Asia/Kolkata"))
        assert label.startswith(f"{local:%H:%M} ")
        assert re.search(rf"\b{local.day}\b", label)
        assert "IST" in label
        assert doctor["name"].replace("'", "&#39;") in label
        assert (free in label) == ("disabled" not in button)
        if language == "en":
            assert f"{local:%A} {local.day} {local:%B}" in label
        else:
            assert re.search(r"(सोमवार|मंगलवार|बुधवार|गुरुवार|शुक्रवार|शनिवार|रविवार) ", label)


async def test_five_minute_slots_of_a_week_are_all_there_on_the_wire(cast: Cast) -> None:
    """S5: 144 a day from 08:00 to 20:00, none cut, none doubled."""
    await hours_of(cast.dr_rao, "08:00", "20:00", 5)
    tomorrow = (utc_now().astimezone(ZoneInfo("Asia/Kolkata")) + timedelta(days=1)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    for days in (1, 7):
        answer = await cast.house.stranger().get(
            f"/doctors/{cast.dr_rao.me['doctor_id']}/slots",
            **{"from": tomorrow.isoformat(), "to": (tomorrow + timedelta(days=days)).isoformat()},
        )
        starts = [slot["start_time"] for slot in answer.json["items"]]
        assert len(starts) == len(set(starts)) == 144 * days
