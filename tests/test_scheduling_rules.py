"""A doctor's own rules, extra hours and leave over HTTP: obeyed by every call, and what is booked is never lost."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from realtime.delivery.client import LiveClient, Watched
from tests.house import Answer, Cast, Client
from tests.test_scheduling import INDIA, midnight, slots, walls

STATUS = "select status from availability_slots where id = $1"


async def set_rules(doctor: Client, begin: str = "09:00", end: str = "18:00", **rules: Any) -> Answer:
    """The doctor sees patients on every day in these hours, by these rules."""
    hours: dict[str, Any] = {
        "time_zone": "Asia/Kolkata",
        "slot_minutes": 30,
        "weekly": [{"weekday": day, "from": begin, "to": end} for day in range(1, 8)],
    }
    return await doctor.put(f"/doctors/{doctor.me['doctor_id']}/hours", **{**hours, **rules})


async def leave(doctor: Client, begin: datetime, end: datetime, booked: str | None = None) -> Answer:
    """The doctor takes leave."""
    body: dict[str, object] = {"from": begin.isoformat(), "to": end.isoformat()}
    return await doctor.call(
        "POST", f"/doctors/{doctor.me['doctor_id']}/leave", body if booked is None else {**body, "booked": booked}
    )


async def extra(doctor: Client, begin: datetime, end: datetime) -> Answer:
    """The doctor adds extra hours."""
    body = {"from": begin.isoformat(), "to": end.isoformat()}
    return await doctor.call("POST", f"/doctors/{doctor.me['doctor_id']}/extra-hours", body)


async def book(patient: Client, slot: dict[str, Any]) -> dict[str, Any]:
    """A consultation in this slot."""
    answer = await patient.post("/consultations", slot_id=slot["id"])
    assert answer.status == 201, answer.text
    return dict(answer.json)


def at(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["start_time"])


def free(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item for item in items if item["status"] == "AVAILABLE"]


# Rules


async def test_rules_are_kept_where_they_are_not_given_and_a_limit_can_be_lifted(cast: Cast) -> None:
    path = f"/doctors/{cast.dr_sen.me['doctor_id']}/hours"
    first = await cast.dr_sen.get(path)
    assert (first.json["lead_minutes"], first.json["horizon_days"], first.json["daily_limit"]) == (0, 60, None)
    given = await set_rules(cast.dr_sen, lead_minutes=90, horizon_days=5, daily_limit=4)
    assert given.status == 200, given.text
    kept = await set_rules(cast.dr_sen)
    assert (kept.json["lead_minutes"], kept.json["horizon_days"], kept.json["daily_limit"]) == (90, 5, 4)
    lifted = await set_rules(cast.dr_sen, daily_limit=None, lead_minutes=0)
    assert (lifted.json["lead_minutes"], lifted.json["daily_limit"]) == (0, None)
    assert (await cast.dr_sen.get(path)).json["horizon_days"] == 5


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"lead_minutes": -1}, "lead_minutes"),
        ({"lead_minutes": 1.5}, "lead_minutes"),
        ({"horizon_days": 0}, "horizon_days"),
        ({"horizon_days": 60}, "horizon_days"),  # slots of this house are made eight days ahead
        ({"daily_limit": 0}, "daily_limit"),
        ({"daily_limit": "many"}, "daily_limit"),
        ({"time_zone": "Asia/Atlantis"}, "time_zone"),
        ({"slot_minutes": 3}, "slot_minutes"),
    ],
)
async def test_rules_that_cannot_be_name_their_field(cast: Cast, rules: dict[str, Any], field: str) -> None:
    before = await cast.house.sql("select * from doctors order by id")
    answer = await set_rules(cast.dr_sen, **rules)
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (422, [field])
    assert await cast.house.sql("select * from doctors order by id") == before


async def test_list_and_move_obey_a_notice_and_a_horizon_that_are_new(cast: Cast) -> None:
    """B9: an old list does not move a consultation around a rule that came since."""
    await set_rules(cast.dr_rao, "00:00", "24:00")
    items = free(await slots_of(cast, cast.dr_rao))
    now = datetime.now(INDIA)  # noqa: TID251 - a test's own clock
    near = next(item for item in items if at(item) > now + timedelta(hours=2))
    middle = next(item for item in items if at(item) > now + timedelta(days=2))
    booked = await book(cast.asha, middle)
    last = items[-1]
    assert at(last) > now + timedelta(days=4)
    await set_rules(cast.dr_rao, "00:00", "24:00", lead_minutes=24 * 60, horizon_days=4)
    shown = await slots_of(cast, cast.dr_rao)
    assert now + timedelta(days=1) <= at(shown[0])
    assert at(shown[-1]) <= now + timedelta(days=4, minutes=1)
    path = f"/consultations/{booked['id']}/reschedule"
    for slot, code in ((near, "too-late-to-book"), (last, "beyond-horizon")):
        moved = await cast.asha.post(path, slot_id=slot["id"])
        assert (moved.status, moved.code) == (409, code)
        assert await cast.house.value(STATUS, slot["id"]) == "AVAILABLE"


async def slots_of(cast: Cast, doctor: Client) -> list[dict[str, Any]]:
    """The doctor's list of the next seven days."""
    answer = await cast.house.stranger().get(f"/doctors/{doctor.me['doctor_id']}/slots")
    assert answer.status == 200, answer.text
    return list(answer.json["items"])


async def test_a_full_day_is_shown_as_taken_and_takes_no_move(cast: Cast) -> None:
    await set_rules(cast.dr_sen, daily_limit=1)
    tomorrow, after = [await slots(cast, midnight(days), midnight(days + 1)) for days in (1, 2)]
    held = await book(cast.asha, tomorrow[0])
    other = await book(cast.vik, after[0])
    assert free(await slots(cast, midnight(1), midnight(2))) == []
    assert free(await slots(cast, midnight(3), midnight(4))) != []
    refused = await cast.vik.post(f"/consultations/{other['id']}/reschedule", slot_id=tomorrow[5]["id"])
    assert (refused.status, refused.code) == (409, "doctor-day-full")
    assert await cast.house.value(STATUS, after[0]["id"]) == "BOOKED"
    within = await cast.asha.post(f"/consultations/{held['id']}/reschedule", slot_id=tomorrow[5]["id"])
    assert within.status == 200, within.text
    alternatives = (await cast.asha.post("/consultations", slot_id=after[0]["id"])).json["alternatives"]
    assert {at(item).astimezone(INDIA).date() for item in alternatives} & {midnight(1).date(), midnight(2).date()} == (
        set()
    )


async def test_two_that_move_to_the_last_place_of_a_day_do_not_both_get_it(cast: Cast) -> None:
    await set_rules(cast.dr_rao, daily_limit=5)
    path = f"/doctors/{cast.dr_rao.me['doctor_id']}/slots"
    by_day: dict[Any, list[dict[str, Any]]] = {}
    for item in (await cast.house.stranger().get(path)).json["items"]:
        by_day.setdefault(at(item).astimezone(INDIA).date(), []).append(item)
    first, second, target = [by_day[midnight(days).date()] for days in (1, 2, 3)]
    one, other = await book(cast.asha, first[0]), await book(cast.vik, second[0])
    await set_rules(cast.dr_rao, daily_limit=1)
    answers = await asyncio.gather(
        cast.asha.post(f"/consultations/{one['id']}/reschedule", slot_id=target[1]["id"]),
        cast.vik.post(f"/consultations/{other['id']}/reschedule", slot_id=target[2]["id"]),
    )
    assert sorted(answer.status for answer in answers) == [200, 409]
    assert [answer.code for answer in answers if answer.status == 409] == ["doctor-day-full"]


async def test_a_room_ends_as_a_fresh_list_when_a_day_fills_opens_and_its_limit_goes(cast: Cast) -> None:
    await set_rules(cast.dr_rao, daily_limit=1)
    items = await slots_of(cast, cast.dr_rao)
    day, later = [
        [item for item in items if at(item).astimezone(INDIA).date() == midnight(days).date()] for days in (1, 2)
    ]
    async with LiveClient(cast.house.base, headers={"X-Forwarded-For": cast.vik.address}) as live:
        watched = await live.watch(f"slots:{cast.dr_rao.me['doctor_id']}")
        held = await book(cast.asha, later[0])
        for target in (day[0], day[3]):
            moved = await cast.asha.post(f"/consultations/{held['id']}/reschedule", slot_id=target["id"])
            assert moved.status == 200, moved.text
            await agree(cast, live, watched)
        for limit in (2, 1, None):
            await set_rules(cast.dr_rao, daily_limit=limit)
            await agree(cast, live, watched)
        assert (await cast.asha.post(f"/consultations/{held['id']}/cancel")).status == 200
        await agree(cast, live, watched)


async def agree(cast: Cast, live: LiveClient, watched: Watched) -> None:
    """What the events made of the first list is, in the end, the list that is asked for now."""
    fresh = {item["id"]: item["status"] for item in await slots_of(cast, cast.dr_rao)}

    def known() -> dict[str, str]:
        slots = [*watched.snapshot["slots"], *(event["data"]["slot"] for event in watched.events)]
        return {slot["id"]: slot["status"] for slot in slots if slot["id"] in fresh}

    await live.until(lambda: known() == fresh)


# Extra hours


async def test_extra_hours_make_slots_at_once_and_only_free_ones_go_again(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "09:00", "12:00", buffer_minutes=10)
    begin, end = midnight(2) + timedelta(hours=11, minutes=30), midnight(2) + timedelta(hours=14)
    path = f"/doctors/{cast.dr_rao.me['doctor_id']}"
    before = await own_slots(cast, begin)
    added = await extra(cast.dr_rao, begin, end)
    assert added.status == 201, added.text
    made = [item for item in await own_slots(cast, begin) if item not in before]
    # The week's last slot of the morning ends at 11:30.
    assert walls(before) == ["09:00", "09:40", "10:20", "11:00"]
    assert walls(made) == ["11:30", "12:10", "12:50", "13:30"]
    assert added.json["slots_made"] == 4
    listed = (await cast.dr_rao.get(f"{path}/extra-hours")).json["items"]
    assert [(item["id"], item["from"]) for item in listed] == [(added.json["id"], rfc(begin))]
    booked = await book(cast.asha, made[1])
    gone = await cast.dr_rao.call("DELETE", f"{path}/extra-hours/{added.json['id']}")
    assert gone.status == 200, gone.text
    assert gone.json["slots_withdrawn"] == 3
    assert [item["consultation_id"] for item in gone.json["booked"]] == [booked["id"]]
    assert walls(await own_slots(cast, begin)) == ["09:00", "09:40", "10:20", "11:00", "12:10"]
    assert (await cast.dr_rao.call("DELETE", f"{path}/extra-hours/{added.json['id']}")).status == 404
    # Freed later, the slot is of no hours any more: it goes, and nobody is offered it.
    assert (await cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    assert walls(await own_slots(cast, begin)) == ["09:00", "09:40", "10:20", "11:00"]


async def own_slots(cast: Cast, day: datetime) -> list[dict[str, Any]]:
    """Dr. Rao's slots of the day of this moment."""
    first = day.replace(hour=0, minute=0)
    path = f"/doctors/{cast.dr_rao.me['doctor_id']}/slots"
    answer = await cast.house.stranger().get(
        path, **{"from": first.isoformat(), "to": (first + timedelta(days=1)).isoformat()}
    )
    assert answer.status == 200, answer.text
    return list(answer.json["items"])


def rfc(moment: datetime) -> str:
    """An instant as the API writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_extra_hours_never_overlap_what_is_booked_each_other_or_leave(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "09:00", "10:00")
    noon = midnight(3) + timedelta(hours=12)
    first = await extra(cast.dr_rao, noon, noon + timedelta(hours=2))
    second = await extra(cast.dr_rao, noon + timedelta(minutes=45), noon + timedelta(hours=3))
    assert (first.json["slots_made"], second.json["slots_made"]) == (4, 2)
    assert (await leave(cast.dr_rao, noon, noon + timedelta(hours=1))).status == 201
    third = await extra(cast.dr_rao, noon, noon + timedelta(hours=1))
    assert third.json["slots_made"] == 0
    items = await own_slots(cast, noon)
    assert walls(items) == ["09:00", "09:30", "13:00", "13:30", "14:00", "14:30"]
    spans = [(item["start_time"], item["end_time"]) for item in items]
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize(
    ("begin", "hours", "code"), [(-60, 24, "past"), (24, -1, "order"), (24, 0.25, "too-short"), (24, 25, "too-long")]
)
async def test_extra_hours_that_cannot_be_name_their_end(cast: Cast, begin: int, hours: float, code: str) -> None:
    start = midnight(1) + timedelta(hours=begin)
    answer = await extra(cast.dr_rao, start, start + timedelta(hours=hours))
    assert answer.status == 422
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [("to", code)]


async def test_new_hours_name_what_they_leave_outside(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "09:00", "18:00")
    inside, outside = [(await own_slots(cast, midnight(2)))[place] for place in (2, -1)]
    await book(cast.asha, inside)
    late = await book(cast.vik, outside)
    answer = await set_rules(cast.dr_rao, "09:00", "12:00", slot_minutes=20)
    assert [item["consultation_id"] for item in answer.json["booked_outside"]] == [late["id"]]
    read = await cast.dr_rao.get(f"/doctors/{cast.dr_rao.me['doctor_id']}/hours")
    assert read.json["booked_outside"] == answer.json["booked_outside"]
    held = {item["id"]: item["status"] for item in await own_slots(cast, midnight(2))}
    assert held[inside["id"]] == held[outside["id"]] == "BOOKED"
    assert (await extra(cast.dr_rao, at(outside), at(outside) + timedelta(minutes=30))).status == 201
    again = await cast.dr_rao.get(f"/doctors/{cast.dr_rao.me['doctor_id']}/hours")
    assert again.json["booked_outside"] == []


async def test_a_fee_that_changes_holds_for_who_books_after_it(cast: Cast) -> None:
    first, second = await cast.slots_of(cast.dr_sen, 2)
    before = await book(cast.asha, first)
    doctor = f"/doctors/{cast.dr_sen.me['doctor_id']}"
    assert (await cast.dr_sen.patch(doctor, fee=12_300)).status == 200
    after = await book(cast.vik, second)
    assert (before["payment"]["amount"], after["payment"]["amount"]) == (80_000, 12_300)
    moved_to = (await cast.slots_of(cast.dr_sen, 4))[-1]
    moved = await cast.asha.post(f"/consultations/{before['id']}/reschedule", slot_id=moved_to["id"])
    assert moved.json["payment"]["amount"] == 80_000


async def test_nobody_else_looks_into_a_calendar(cast: Cast) -> None:
    path = f"/doctors/{cast.dr_rao.me['doctor_id']}"
    held = await leave(cast.dr_rao, midnight(1), midnight(2))
    hours = await extra(cast.dr_rao, midnight(3), midnight(3) + timedelta(hours=1))
    calls = [
        ("GET", "/calendar"),
        ("GET", "/leave"),
        ("GET", "/extra-hours"),
        ("DELETE", f"/leave/{held.json['id']}"),
        ("DELETE", f"/extra-hours/{hours.json['id']}"),
    ]
    for method, rest in calls:
        for who, status in ((cast.dr_sen, 404), (cast.vik, 403), (cast.mira, 403), (cast.house.stranger(), 401)):
            assert (await who.call(method, path + rest)).status == status, (method, rest)
    assert len((await cast.dr_rao.get(f"{path}/leave")).json["items"]) == 1
    # Not by another doctor's address either.
    other = f"/doctors/{cast.dr_sen.me['doctor_id']}"
    assert (await cast.dr_sen.call("DELETE", f"{other}/leave/{held.json['id']}")).status == 404
    assert (await cast.dr_sen.call("DELETE", f"{other}/extra-hours/{uuid4()}")).status == 404


async def test_a_calendar_shows_its_doctor_what_is_booked_leave_and_extra_hours(cast: Cast) -> None:
    await set_rules(cast.dr_rao, "09:00", "10:00")
    day = midnight(2)
    await extra(cast.dr_rao, day + timedelta(hours=20), day + timedelta(hours=21))
    booked = await book(cast.asha, (await own_slots(cast, day))[1])
    await leave(cast.dr_rao, day + timedelta(hours=20, minutes=30), day + timedelta(hours=22))
    answer = await cast.dr_rao.get(
        f"/doctors/{cast.dr_rao.me['doctor_id']}/calendar",
        **{"from": day.isoformat(), "to": (day + timedelta(days=1)).isoformat()},
    )
    assert answer.status == 200, answer.text
    assert [(item["status"], item["consultation_id"], item["extra"]) for item in answer.json["items"]] == [
        ("AVAILABLE", None, False),
        ("BOOKED", booked["id"], False),
        ("AVAILABLE", None, True),
    ]
    assert (len(answer.json["leave"]), len(answer.json["extra_hours"])) == (1, 1)
    assert answer.json["time_zone"] == "Asia/Kolkata"


async def test_booking_obeys_the_doctors_notice_and_daily_limit_of_now(cast: Cast) -> None:
    """B9: the list is old, the rules are new; and of two for the last place of a day one gets it."""
    near = (await cast.slots_of(cast.dr_rao, from_hours=2))[0]
    await set_rules(cast.dr_rao, "00:00", "24:00", lead_minutes=24 * 60, daily_limit=1)
    late = await cast.asha.post("/consultations", slot_id=near["id"])
    assert (late.status, late.code) == (409, "too-late-to-book")
    day = [
        item for item in await slots_of(cast, cast.dr_rao) if at(item).astimezone(INDIA).date() == midnight(3).date()
    ]
    answers = await asyncio.gather(
        cast.asha.post("/consultations", slot_id=day[1]["id"]), cast.vik.post("/consultations", slot_id=day[5]["id"])
    )
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert [answer.code for answer in answers if answer.status == 409] == ["doctor-day-full"]
    booked = "select count(*) from availability_slots where doctor_id = $1 and status = 'BOOKED'"
    assert await cast.house.value(booked, cast.dr_rao.me["doctor_id"]) == 1
