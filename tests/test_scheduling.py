"""Hours, leave and slots over HTTP: midnight, long leave, many slots, and the notice that a booking needs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from server.core.clock import utc_now
from tests.house import Answer, Cast

INDIA = ZoneInfo("Asia/Kolkata")
ALL_WEEK = range(1, 8)


async def set_hours(cast: Cast, begin: str, end: str, minutes: int = 30) -> Answer:
    """Dr. Sen sees patients on every day of the week in these hours."""
    answer = await cast.dr_sen.put(
        f"/doctors/{cast.dr_sen.me['doctor_id']}/hours",
        time_zone="Asia/Kolkata",
        slot_minutes=minutes,
        buffer_minutes=0,
        weekly=[{"weekday": day, "from": begin, "to": end} for day in ALL_WEEK],
    )
    assert answer.status == 200, answer.text
    return answer


async def slots(cast: Cast, first: datetime, last: datetime) -> list[dict[str, Any]]:
    """Dr. Sen's slots of a time, as anybody sees them."""
    path = f"/doctors/{cast.dr_sen.me['doctor_id']}/slots"
    answer = await cast.house.stranger().call(
        "GET", f"{path}?from={first:%Y-%m-%dT%H:%M:%S}%2B05:30&to={last:%Y-%m-%dT%H:%M:%S}%2B05:30"
    )
    assert answer.status == 200, answer.text
    return list(answer.json["items"])


def midnight(days: int) -> datetime:
    """The beginning of a day in Dr. Sen's zone, so many days from today."""
    today = utc_now().astimezone(INDIA).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=days)


def walls(items: list[dict[str, Any]]) -> list[str]:
    """When slots begin, by the wall clock in India."""
    return [datetime.fromisoformat(item["start_time"]).astimezone(INDIA).strftime("%H:%M") for item in items]


@pytest.mark.parametrize(
    ("end", "late"),
    [("24:00", ["22:30", "23:00", "23:30"]), ("01:30", ["22:30", "23:00", "23:30", "00:00", "00:30", "01:00"])],
)
async def test_hours_end_at_midnight_or_go_past_it(cast: Cast, end: str, late: list[str]) -> None:
    await set_hours(cast, "22:30", end)
    evening = midnight(3) + timedelta(hours=12)
    items = await slots(cast, evening, evening + timedelta(days=1))
    assert walls(items) == late
    [last] = [item for item in items if walls([item]) == ["23:30"]]
    assert datetime.fromisoformat(last["end_time"]) == midnight(4)


async def test_leave_over_several_days_blocks_all_of_them(cast: Cast) -> None:
    await set_hours(cast, "09:00", "18:00")
    first, last = midnight(2), midnight(6)
    before = await slots(cast, first, last)
    begin, end = midnight(2) + timedelta(hours=14, minutes=30), midnight(5) + timedelta(hours=10)
    answer = await cast.dr_sen.call(
        "POST",
        f"/doctors/{cast.dr_sen.me['doctor_id']}/leave",
        {"from": begin.isoformat(), "to": end.isoformat()},
    )
    assert answer.status == 201, answer.text
    after = await slots(cast, first, last)
    gone = [item for item in before if item["id"] not in {other["id"] for other in after}]
    assert all(begin < datetime.fromisoformat(item["end_time"]) for item in gone)
    assert all(end > datetime.fromisoformat(item["start_time"]) for item in gone)
    assert answer.json["slots_withdrawn"] == len(gone)
    days = {datetime.fromisoformat(item["start_time"]).astimezone(INDIA).date() for item in after}
    assert midnight(3).date() not in days
    assert midnight(4).date() not in days
    assert (await cast.asha.post("/consultations", slot_id=gone[5]["id"])).status == 404
    for moment in (begin - timedelta(minutes=30), end):
        [kept] = [item for item in after if datetime.fromisoformat(item["start_time"]) == moment]
        assert (await cast.asha.post("/consultations", slot_id=kept["id"])).status == 201


async def test_a_day_of_five_minute_slots_is_listed_whole(cast: Cast) -> None:
    await set_hours(cast, "08:00", "20:00", minutes=5)
    assert len(await slots(cast, midnight(1), midnight(2))) == 144
    assert len(await slots(cast, midnight(1), midnight(8))) == 7 * 144


async def test_more_than_a_month_is_refused_and_never_cut(cast: Cast) -> None:
    path = f"/doctors/{cast.dr_sen.me['doctor_id']}/slots"
    answer = await cast.house.stranger().call("GET", f"{path}?from=2027-01-01T00:00:00Z&to=2027-02-02T00:00:00Z")
    assert answer.status == 422
    assert [error["field"] for error in answer.json["errors"]] == ["to"]


async def test_hours_that_overlap_are_named(cast: Cast) -> None:
    answer = await cast.dr_sen.put(
        f"/doctors/{cast.dr_sen.me['doctor_id']}/hours",
        time_zone="Asia/Kolkata",
        slot_minutes=30,
        buffer_minutes=0,
        weekly=[
            {"weekday": 7, "from": "22:00", "to": "02:00"},
            {"weekday": 1, "from": "01:00", "to": "04:00"},
            {"weekday": 3, "from": "10:00", "to": "10:10"},
        ],
    )
    assert answer.status == 422
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [
        ("weekly.2.to", "too-short"),
        ("weekly.1", "overlap"),
    ]


async def test_only_the_doctor_sets_hours_or_takes_leave(cast: Cast) -> None:
    path = f"/doctors/{cast.dr_sen.me['doctor_id']}/hours"
    hours: dict[str, Any] = {"time_zone": "Asia/Kolkata", "slot_minutes": 30, "buffer_minutes": 0, "weekly": []}
    assert (await cast.dr_rao.put(path, **hours)).status == 404
    assert (await cast.asha.put(path, **hours)).status == 403
    assert (await cast.house.stranger().put(path, **hours)).status == 401


async def test_new_hours_leave_what_is_booked_alone(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    await set_hours(cast, "03:00", "04:00", minutes=20)
    row = await cast.house.sql("select * from availability_slots where id = $1", booked["slot_id"])
    assert [(slot["status"], str(slot["consultation_id"])) for slot in row] == [("BOOKED", booked["id"])]


async def test_a_move_keeps_the_payment_and_swaps_the_slots(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    _, other = await cast.slots_of(cast.dr_sen, 2)
    moved = await cast.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=other["id"])
    assert moved.status == 200, moved.text
    assert moved.json["payment"]["id"] == booked["payment"]["id"]
    assert moved.json["payment"]["status"] == "captured"
    assert moved.json["slot_id"] == other["id"]
    status = "select status from availability_slots where id = $1"
    assert await cast.house.value(status, booked["slot_id"]) == "AVAILABLE"
    assert await cast.house.value(status, other["id"]) == "BOOKED"


async def test_cancelling_gives_the_slot_and_the_money_back_once(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    cancelled = await cast.asha.post(f"/consultations/{booked['id']}/cancel")
    assert cancelled.status == 200, cancelled.text
    assert (cancelled.json["status"], cancelled.json["ended_as"]) == ("CANCELLED", "cancelled_by_patient")
    status = "select status from availability_slots where id = $1"
    assert await cast.house.value(status, booked["slot_id"]) == "AVAILABLE"
    await cast.house.until("select 1 from payments where id = $1 and status = 'refunded'", booked["payment"]["id"])
    entries = "select count(*) from payment_entries where payment_id = $1 and kind = 'refunded'"
    assert await cast.house.value(entries, booked["payment"]["id"]) == 1
    again = await cast.asha.post(f"/consultations/{booked['id']}/cancel")
    assert again.status == 409
