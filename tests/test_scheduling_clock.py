"""Slots on the days that matter: servers whose clock is moved to them, the worker's tick, and what lies behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from server.accounts import begin_session
from server.core.clock import utc_now
from server.core.ids import UserId
from server.core.settings import Settings
from server.core.tasks import end_tasks
from server.core.tx import Tx
from tests.conftest import PASSWORD
from tests.house import Cast, Client, House, serving
from tests.test_scheduling_rules import at, extra, leave, set_rules
from tests.test_slot_times import CHANGES
from worker.jobs.slots import keep_slots_ahead

NOON, EVENING = 13, 18


@asynccontextmanager
async def at_time(house: House, moment: datetime) -> AsyncGenerator[tuple[Client, Settings]]:
    """A server whose clock shows this moment, and Dr. Sen, who has just signed in to it."""
    shift = int((moment - utc_now()).total_seconds())
    moved = house.settings.model_copy(update={"clock_shift_seconds": shift})
    async with serving(moved) as (server, base):

        async def sign_in(tx: Tx) -> tuple[str, dict[str, Any]]:
            row = await tx.conn.fetchrow("select id, user_id from doctors where name = 'Dr. Arjun Sen'")
            assert row is not None
            token = await begin_session(tx, UserId(row["user_id"]), second_step=False)
            return token, {"doctor_id": str(row["id"])}

        token, me = await server.database.write(sign_in, source="test")
        yield Client(house.http, base, token=token, me=me), moved


@pytest.mark.parametrize(("zone", "change"), [(zone, day) for zone, days in CHANGES.items() for day in days])
async def test_hours_after_noon_keep_to_the_wall_clock_over_a_change(house: House, zone: str, change: date) -> None:
    """S1: the day before, of and after a change, in both directions, by the server's own calls."""
    before = datetime(change.year, change.month, change.day, 10, tzinfo=ZoneInfo(zone)) - timedelta(days=2)
    async with at_time(house, before.astimezone(UTC)) as (doctor, _):
        kept = await set_rules(doctor, f"{NOON}:00", f"{EVENING}:00", time_zone=zone)
        assert kept.status == 200, kept.text
        for shift in (-1, 0, 1):
            day = change + timedelta(days=shift)
            opens, closes = (datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone)) for hour in (13, 18))
            items = await slots_from(doctor, opens - timedelta(hours=12), closes + timedelta(hours=5))
            assert (at(items[0]), ends(items[-1]), len(items)) == (opens, closes, 10)
            assert all(ends(one) == at(other) for one, other in pairwise(items))
            [last] = [item for item in items if at(item) == closes - timedelta(minutes=30)]
            assert last["status"] == "AVAILABLE"
        # A day of leave and an extra hour, by the instants of the day of the change.
        opens = datetime(change.year, change.month, change.day, NOON, tzinfo=ZoneInfo(zone))
        answer = await leave(doctor, opens, opens + timedelta(hours=1))
        assert answer.json["slots_withdrawn"] == 2


async def slots_from(doctor: Client, first: datetime, last: datetime) -> list[dict[str, Any]]:
    """The doctor's slots of a time."""
    answer = await Client(doctor.http, doctor.base).get(
        f"/doctors/{doctor.me['doctor_id']}/slots",
        **{"from": first.astimezone(UTC).isoformat(), "to": last.astimezone(UTC).isoformat()},
    )
    assert answer.status == 200, answer.text
    return list(answer.json["items"])


def ends(item: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(item["end_time"])


@pytest.mark.parametrize("end", ["24:00", "01:30"])
async def test_evening_hours_go_whole_over_the_night_of_a_change(house: House, end: str) -> None:
    """S2 in the night in which London's clocks go back: nothing is doubled or lost around midnight."""
    zone = ZoneInfo("Europe/London")
    async with at_time(house, datetime(2027, 10, 29, 10, tzinfo=UTC)) as (doctor, _):
        assert (await set_rules(doctor, "22:30", end, time_zone="Europe/London")).status == 200
        evening = datetime(2027, 10, 30, 12, tzinfo=zone)
        items = await slots_from(doctor, evening, evening + timedelta(days=1, hours=1))
        walls = [at(item).astimezone(zone).strftime("%H:%M") for item in items]
        night = ["22:30", "23:00", "23:30"] + ([] if end == "24:00" else ["00:00", "00:30", "01:00", "01:00"])
        assert sorted(walls) == sorted(night)
        [at_half_past] = [item for item in items if at(item).astimezone(zone).strftime("%H:%M") == "23:30"]
        assert ends(at_half_past) == datetime(2027, 10, 31, tzinfo=zone)


async def test_a_slot_that_passed_while_the_page_lay_open_is_refused_as_passed(cast: Cast) -> None:
    """S6: and one that begins sooner than the doctor's notice allows, as too late."""
    items = await cast.slots_of(cast.dr_rao, 3, from_hours=1)
    seen = at(items[1])
    rules = await set_rules(cast.dr_rao, "00:00", "24:00", lead_minutes=45)
    assert rules.status == 200
    async with at_time(cast.house, seen + timedelta(minutes=1)) as (doctor, moved):
        patient = Client(doctor.http, doctor.base, token=await token_of(moved, cast.asha))
        for slot, code in ((items[0], "slot-passed"), (items[1], "slot-passed"), (items[2], "too-late-to-book")):
            answer = await patient.post("/consultations", slot_id=slot["id"])
            assert (answer.status, answer.code) == (409, code)


async def token_of(settings: Settings, patient: Client) -> str:
    """A session of this patient on a server with these settings' clock."""
    async with serving(settings) as (server, _):

        async def sign_in(tx: Tx) -> str:
            return await begin_session(tx, UserId(UUID(patient.me["id"])), second_step=False)

        return await server.database.write(sign_in, source="test")


async def test_the_worker_keeps_sixty_days_and_forgets_what_nobody_took(house: House) -> None:
    cast = await Cast.sign_in(house, PASSWORD)
    booked = await cast.booked(cast.asha, cast.dr_rao)
    assert house.worker is not None
    await end_tasks([house.worker])  # its clock is not the one of this test
    last = """
        select min(last) from (select max(start_time) as last from availability_slots
                                where status = 'AVAILABLE' group by doctor_id) as each
    """
    past = "select count(*) from availability_slots where status = 'AVAILABLE' and start_time < $1"
    for days in (0, 30):
        now = utc_now() + timedelta(days=days)
        moved = house.settings.model_copy(update={"slots_days_ahead": 60, "clock_shift_seconds": days * 86_400})
        async with serving(moved) as (server, _), asyncio.timeout(60):
            while (await house.value(last) or now) < now + timedelta(days=59) or await house.value(
                past, now - timedelta(days=1)
            ):
                await server.database.write(partial(keep_slots_ahead, settings=moved), source="test")
    # What is booked stays for ever, also when its time has passed.
    assert await house.value("select status from availability_slots where id = $1", booked["slot_id"]) == "BOOKED"


async def test_extra_hours_alone_get_their_slots_when_their_day_comes_near(house: House) -> None:
    """A doctor without a week, and hours further ahead than slots are made."""
    moment = (utc_now() + timedelta(days=20)).replace(minute=0, second=0, microsecond=0)
    async with at_time(house, utc_now()) as (doctor, _):
        assert (await set_rules(doctor, weekly=[])).status == 200
        path = f"/doctors/{doctor.me['doctor_id']}/extra-hours"
        body = {"from": moment.isoformat(), "to": (moment + timedelta(hours=1)).isoformat()}
        added = await doctor.call("POST", path, body)
        assert (added.status, added.json["slots_made"]) == (201, 0)
    async with at_time(house, moment - timedelta(days=3)) as (doctor, moved), serving(moved) as (server, _):
        await server.database.write(lambda tx: keep_slots_ahead(tx, settings=moved), source="test")
        items = await slots_from(doctor, moment - timedelta(hours=1), moment + timedelta(hours=2))
        assert [at(item) for item in items] == [moment, moment + timedelta(minutes=30)]


async def test_a_slot_that_began_without_a_patient_is_in_nobodys_way(house: House) -> None:
    """A doctor whose hour nobody took gives the rest of it to five-minute slots."""
    nine = (utc_now() + timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    async with at_time(house, nine - timedelta(days=1)) as (doctor, _):
        made = await set_rules(doctor, "00:00", "24:00", time_zone="UTC", slot_minutes=60)
        assert made.status == 200, made.text
    async with at_time(house, nine + timedelta(minutes=10)) as (doctor, _):
        assert (await set_rules(doctor, time_zone="UTC", slot_minutes=5, weekly=[])).status == 200
        begun = await slots_from(doctor, nine, nine + timedelta(hours=2))
        assert begun == []  # the list shows what is to come
        added = await extra(doctor, nine + timedelta(minutes=15), nine + timedelta(minutes=30))
        assert (added.status, added.json["slots_made"]) == (201, 3), added.text
        times = [at(item) for item in await slots_from(doctor, nine, nine + timedelta(hours=2))]
        assert times == [nine + timedelta(minutes=minute) for minute in (15, 20, 25)]
