"""A doctor's pages of hours and calendar, as forms: what is booked is shown and asked about before anything changes."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import urlencode

from tests.house import Answer, Cast, Client
from tests.test_scheduling import INDIA, midnight
from tests.test_scheduling_rules import at, book, own_slots, set_rules


async def page(doctor: Client, path: str) -> str:
    """A page as the doctor sees it."""
    headers = {"Cookie": f"amrutam={doctor.token}", "Accept": "text/html"}
    answer = await Client(doctor.http, doctor.base, address=doctor.address).call("GET", f"/{path}", headers=headers)
    assert answer.status == 200, answer.text
    return answer.text


async def send(cast: Cast, doctor: Client, path: str, **fields: str) -> Answer:
    """Send a form of the doctor's, with the token that its page has."""
    token = re.search(r'name="csrf_token" value="([^"]+)"', await page(doctor, "/calendar"))
    assert token is not None
    headers = {
        "Cookie": f"amrutam={doctor.token}",
        "Accept": "text/html",
        "Origin": cast.house.settings.public_url,
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = urlencode({**fields, "csrf_token": token[1]}).encode()
    return await Client(doctor.http, doctor.base, address=doctor.address).call(
        "POST", f"/{path}", raw=body, headers=headers
    )


def wall(moment: datetime) -> str:
    """A moment as a browser's date field gives it."""
    return moment.astimezone(INDIA).strftime("%Y-%m-%dT%H:%M")


async def test_leave_with_somebody_inside_is_asked_about_before_it_is_taken(cast: Cast) -> None:
    await set_rules(cast.dr_rao)
    slot = (await own_slots(cast, midnight(2)))[4]
    held = await book(cast.asha, slot)
    times = {"leave_from": wall(midnight(2)), "leave_to": wall(midnight(3))}
    asked = await send(cast, cast.dr_rao, "/calendar/leave", **times)
    assert asked.status == 200, asked.text
    assert "One consultation is booked in this time" in asked.text
    assert f"/consultations/{held['id']}" in asked.text
    assert "Asha Verma" in asked.text
    assert await cast.house.value("select count(*) from leave") == 0
    moved = await send(cast, cast.dr_rao, "/calendar/leave", **times, booked="move")
    assert moved.status == 303, moved.text
    now = (await cast.asha.get(f"/consultations/{held['id']}")).json
    assert datetime.fromisoformat(now["start_time"]) >= midnight(3)
    week = await page(cast.dr_rao, moved.headers["Location"])
    assert "Leave" in week


async def test_the_calendar_shows_a_week_and_gives_leave_and_extra_hours_back(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "09:00", "12:00")
    day = midnight(1)
    booked = await book(cast.asha, (await own_slots(cast, day))[2])
    added = await send(
        cast,
        cast.dr_rao,
        "/calendar/extra-hours",
        extra_from=wall(day + timedelta(hours=20)),
        extra_to=wall(day + timedelta(hours=21)),
    )
    assert added.status == 303
    text = await page(cast.dr_rao, added.headers["Location"])
    assert "1 booked, 7 free" in text
    assert f"/consultations/{booked['id']}" in text
    assert "extra" in text
    end = re.search(r'action="(/calendar/extra-hours/[^"]+/end)"', text)
    assert end is not None
    assert (await send(cast, cast.dr_rao, end[1])).status == 303
    assert "1 booked, 5 free" in await page(cast.dr_rao, added.headers["Location"])
    taken = await send(cast, cast.dr_rao, "/calendar/leave", leave_from=wall(midnight(4)), leave_to=wall(midnight(5)))
    assert taken.status == 303
    end = re.search(r'action="(/calendar/leave/[^"]+/end)"', await page(cast.dr_rao, "/calendar"))
    assert end is not None
    assert (await send(cast, cast.dr_rao, end[1])).status == 303
    assert len(await own_slots(cast, midnight(4))) == 6
    assert (await send(cast, cast.dr_sen, end[1])).status == 404


async def test_what_is_wrong_is_said_beside_its_field_and_what_was_typed_comes_back(cast: Cast) -> None:
    for path, name in (("/calendar/leave", "leave"), ("/calendar/extra-hours", "extra")):
        typed = {f"{name}_from": wall(midnight(2)), f"{name}_to": wall(midnight(1))}
        answer = await send(cast, cast.dr_rao, path, **typed)
        assert "It must end after it begins." in answer.text
        assert f'id="{name}_to-error"' in answer.text
        assert typed[f"{name}_to"] in answer.text
        assert (
            "This is not in the right form." in (await send(cast, cast.dr_rao, path, **{f"{name}_from": "soon"})).text
        )
    week = {"weekday_1": "2", "from_1": "09:00", "to_1": "12:00", "weekday_3": "2", "from_3": "10:00", "to_3": "11:00"}
    answer = await send(cast, cast.dr_rao, "/hours", **week, slot_minutes="30", buffer_minutes="0", horizon_days="8")
    assert 'id="to_3-error"' in answer.text
    assert "These hours overlap others." in answer.text


async def test_the_form_of_hours_sets_rules_and_names_who_is_booked_outside(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "09:00", "18:00")
    held = await book(cast.asha, (await own_slots(cast, midnight(2)))[-1])
    week = {
        f"{name}_{day}": value
        for day in range(1, 8)
        for name, value in (("weekday", str(day)), ("from", "09:00"), ("to", "12:00"))
    }
    rules = {"slot_minutes": "20", "buffer_minutes": "10", "lead_minutes": "30", "horizon_days": "8"}
    saved = await send(cast, cast.dr_rao, "/hours", **week, **rules, time_zone="Asia/Kolkata", daily_limit="12")
    assert saved.status == 303, saved.text
    read = (await cast.dr_rao.get(f"/doctors/{cast.dr_rao.me['doctor_id']}/hours")).json
    assert (read["lead_minutes"], read["horizon_days"], read["daily_limit"], read["slot_minutes"]) == (30, 8, 12, 20)
    text = await page(cast.dr_rao, "/hours")
    assert "Booked outside these hours" in text
    assert f"/consultations/{held['id']}" in text
    assert all(at(item).astimezone(INDIA).hour < 12 for item in (await own_slots(cast, midnight(3))))
    lifted = await send(cast, cast.dr_rao, "/hours", **week, **rules, time_zone="Asia/Kolkata")
    assert lifted.status == 303
    assert (await cast.dr_rao.get(f"/doctors/{cast.dr_rao.me['doctor_id']}/hours")).json["daily_limit"] is None


async def test_a_doctors_page_says_until_when_a_time_can_be_booked(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "00:00", "24:00", lead_minutes=90)
    text = await page(cast.vik, f"/doctors/{cast.dr_rao.me['doctor_id']}")
    assert ' lead="90"' in text
    assert ' lead="90"' in await page(cast.vik, "/")
