"""Slots and doctors as they are listed from Redis: the same as from the database, true after each event, never booked
wrongly."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import SecretStr

from server.accounts import begin_session
from server.core.clock import utc_now
from server.core.ids import DoctorId, UserId
from server.core.models import rfc3339
from server.core.outbox import unpack
from server.core.settings import Settings
from server.core.tx import Tx
from server.core.valkey import connect_redis
from server.scheduling import SLOTS, ListSlots, SlotList, read_slots, slots_key
from server.scheduling.queries import SlotsOfDays, all_slots_between
from tests.conftest import Services
from tests.house import Client, House, open_house_of
from tests.proxy import proxy_to
from tests.test_scheduling_rules import book, free, leave, set_rules

SOON = timedelta(seconds=10)  # for a machine that is busy with other things; Redis' own bound is tested by its clock


async def a_doctor(house: House) -> Client:
    """A doctor with a fee and slots around the clock, signed in."""
    [row] = await house.sql("select id, user_id from doctors where name = 'Dr. Arjun Sen'")

    async def begin(tx: Tx) -> str:
        return await begin_session(tx, UserId(row["user_id"]), second_step=False)

    client = house.stranger()
    client.token = await house.server.database.write(begin, source="test")
    client.me = (await client.get("/me")).json
    return client


def database_of(settings: Settings) -> str:
    """The name of the test's database."""
    return urlsplit(settings.database_url.get_secret_value()).path.lstrip("/")


async def listed(reader: Client, doctor: Client, **query: str) -> dict[str, Any]:
    """The doctor's slots as a reader gets them."""
    answer = await reader.get(f"/doctors/{doctor.me['doctor_id']}/slots", **query)
    assert answer.status == 200, answer.text
    return dict(answer.json)


async def status_of(reader: Client, doctor: Client, slot_id: str) -> str | None:
    items = (await listed(reader, doctor))["items"]
    return next((item["status"] for item in items if item["id"] == slot_id), None)


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a reader sees it."""
    async with asyncio.timeout(SOON.total_seconds()):
        while not await seen():  # noqa: ASYNC110 - the thing is behind HTTP
            await asyncio.sleep(0.01)


async def from_database(house: House, doctor: Client, begin: datetime, end: datetime) -> SlotList:
    """The same list as the room's snapshot has it: straight from the database."""
    ask = ListSlots(id=DoctorId(UUID(doctor.me["doctor_id"])), from_time=begin, to_time=end)
    return await house.server.database.read(lambda tx: read_slots(tx, ask, settings=house.settings))


async def test_any_time_is_cut_from_the_kept_days_as_the_database_cuts_it(house: House) -> None:
    doctor, [patient], reader = await a_doctor(house), await house.crowd(1), house.stranger()
    assert (await set_rules(doctor, "00:00", "24:00", lead_minutes=95, horizon_days=5)).status == 200
    await book(patient, free((await listed(reader, doctor))["items"])[3])
    now = utc_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    times = [
        (now, now + timedelta(days=7)),  # notice at one end, horizon at the other
        (now - timedelta(days=2), now + timedelta(hours=3)),
        (midnight, midnight + timedelta(days=1)),  # one begins on the minute of either end
        (midnight - timedelta(milliseconds=1), midnight + timedelta(minutes=30, milliseconds=1)),
        (midnight + timedelta(minutes=1), midnight + timedelta(minutes=29)),  # none
        (now + timedelta(days=6), now + timedelta(days=9)),  # beyond the horizon
        (now - timedelta(days=9), now - timedelta(days=6)),
    ]
    for begin, end in times:
        query = {"from": rfc3339(begin), "to": rfc3339(end)}
        for _ in range(2):  # from the database, and from what that left
            before = await from_database(house, doctor, begin, end)
            kept = SlotList.model_validate(await listed(reader, doctor, **query))
            assert kept in (before, await from_database(house, doctor, begin, end)), (begin, end)
    assert len((await from_database(house, doctor, *times[2])).items) == 48


async def test_booking_and_cancelling_are_seen_on_every_server(two_servers: House) -> None:
    house = two_servers
    doctor, [patient], here, there = await a_doctor(house), await house.crowd(1), house.stranger(), house.stranger()
    there.base = house.bases[1]
    slot = free((await listed(there, doctor))["items"])[5]
    consultation = await book(patient, slot)
    # On the server that booked, at once.
    assert await status_of(here, doctor, slot["id"]) == "BOOKED"
    await until(lambda: is_now(there, doctor, slot["id"], "BOOKED"))
    cancelled = await patient.post(f"/consultations/{consultation['id']}/cancel")
    assert cancelled.status == 200, cancelled.text
    assert await status_of(here, doctor, slot["id"]) == "AVAILABLE"
    await until(lambda: is_now(there, doctor, slot["id"], "AVAILABLE"))


async def is_now(reader: Client, doctor: Client, slot_id: str, status: str | None) -> bool:
    return await status_of(reader, doctor, slot_id) == status


async def test_hours_and_leave_are_seen_on_every_server(two_servers: House) -> None:
    house = two_servers
    doctor, here, there = await a_doctor(house), house.stranger(), house.stranger()
    there.base = house.bases[1]
    before = free((await listed(there, doctor))["items"])
    away = before[10]
    begin, end = datetime.fromisoformat(away["start_time"]), datetime.fromisoformat(away["end_time"])
    assert (await leave(doctor, begin, end)).status == 201
    assert await status_of(here, doctor, away["id"]) is None
    await until(lambda: is_now(there, doctor, away["id"], None))
    assert (await set_rules(doctor, "10:00", "12:00")).status == 200
    shown = await listed(here, doctor)
    assert 0 < len(shown["items"]) < len(before) / 2

    async def same_there() -> bool:
        return (await listed(there, doctor))["items"] == shown["items"]

    await until(same_there)


async def test_rules_that_move_no_slot_are_seen_when_the_list_has_lived_its_time(house: House) -> None:
    doctor, reader = await a_doctor(house), house.stranger()
    assert (await set_rules(doctor, "00:00", "24:00")).status == 200
    assert len((await listed(reader, doctor))["items"]) > 200
    assert (await set_rules(doctor, "00:00", "24:00", horizon_days=1)).status == 200

    async def is_short() -> bool:
        return len((await listed(reader, doctor))["items"]) < 50

    await until(is_short)


async def test_number_and_slots_are_of_one_moment(house: House) -> None:
    doctor, patients, reader = await a_doctor(house), await house.crowd(6), house.stranger()
    slots = free((await listed(reader, doctor))["items"])[4:]
    lists: list[dict[str, Any]] = []

    async def read() -> None:
        lists.extend([await listed(reader, doctor) for _ in range(60)])

    async def act(patient: Client, number: int) -> None:
        consultation = await book(patient, slots[number])
        await patient.post(f"/consultations/{consultation['id']}/cancel")

    await asyncio.gather(read(), *(act(patient, number) for number, patient in enumerate(patients)))
    last = await listed(reader, doctor)
    cipher = house.server.database.cipher
    changes = await house.sql("select number, data from room_events where room = $1 order by number", last["room"])
    assert len({one["offset"] for one in lists}) > 1
    for one in [*lists, last]:
        told = {item["id"]: item for item in one["items"]}
        for change in changes:
            if change["number"] > one["offset"]:
                slot = json.loads(unpack(change["data"], cipher))["slot"]
                told[slot["id"]] = slot
        assert later(told.values()) == later(last["items"]), one["offset"]


def later(items: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """But for those that begin while a test runs."""
    soon = rfc3339(utc_now() + timedelta(minutes=5))
    return sorted((item for item in items if item["start_time"] > soon), key=lambda item: item["start_time"])


async def test_a_slot_that_is_kept_for_somebody_comes_free_when_its_time_is_over(house: House) -> None:
    doctor, reader = await a_doctor(house), house.stranger()
    slot = free((await listed(reader, doctor))["items"])[5]
    keep = "update availability_slots set offered_n = 0, offered_until = now() + interval '1 second' where id = $1"
    await house.sql(keep, slot["id"])
    await forget(house, doctor)
    shown = await listed(reader, doctor)
    assert [item["status"] for item in shown["items"] if item["id"] == slot["id"]] == ["BOOKED"]
    await until(lambda: is_now(reader, doctor, slot["id"], "AVAILABLE"))


async def forget(house: House, doctor: Client) -> None:
    """What a test has changed behind the server's back, no event tells."""
    async with connect_redis(house.settings) as redis:
        await redis.unlink(slots_key(DoctorId(UUID(doctor.me["doctor_id"]))))


async def test_a_list_read_anew_is_sent_only_where_it_is_another(house: House) -> None:
    doctor, [patient], reader = await a_doctor(house), await house.crowd(1), house.stranger()
    id_, database = DoctorId(UUID(doctor.me["doctor_id"])), house.server.database
    now = utc_now()

    async def read(known: int | None) -> SlotsOfDays:
        async def ask(tx: Tx) -> SlotsOfDays | None:
            return await all_slots_between(tx, id_, now, now + timedelta(days=7), SLOTS.of(doctor_id=id_), known)

        found = await database.read(ask)
        assert found is not None
        return found

    first = await read(None)
    assert first.slots
    again = await read(first.print)
    assert (again.slots, again.print) == (None, first.print)
    slot = free((await listed(reader, doctor))["items"])[5]
    consultation = await book(patient, slot)
    booked = await read(first.print)
    assert booked.slots is not None
    assert len(booked.slots) == len(first.slots)
    assert booked.room_number > first.room_number
    assert (await patient.post(f"/consultations/{consultation['id']}/cancel")).status == 200
    # As free as before, and another version all the same.
    freed = await read(booked.print)
    assert freed.slots is not None
    assert freed.print != first.print
    before = await listed(reader, doctor)
    await forget(house, doctor)
    assert await listed(reader, doctor) == before


async def test_an_old_list_books_nothing_wrongly(house: House) -> None:
    doctor, [first, second], reader = await a_doctor(house), await house.crowd(2), house.stranger()
    slot = free((await listed(reader, doctor))["items"])[5]
    key = slots_key(DoctorId(UUID(doctor.me["doctor_id"])))
    async with connect_redis(house.settings) as redis:
        old = await redis.hgetall(key)
        await book(first, slot)
        async with asyncio.timeout(SOON.total_seconds()):
            while await redis.exists(key):  # noqa: ASYNC110 - the thing is in Redis
                await asyncio.sleep(0.01)
        for field, value in old.items():  # as if nobody had told it
            await redis.hset(key, field, value)
        assert await status_of(reader, doctor, slot["id"]) == "AVAILABLE"
        refused = await second.post("/consultations", slot_id=slot["id"])
    assert (refused.status, refused.code) == (409, "slot-taken")
    alternatives = [other["id"] for other in refused.json["alternatives"]]
    assert alternatives
    assert slot["id"] not in alternatives


async def test_lists_are_true_with_redis_silent_and_when_it_is_back(services: Services, settings: Settings) -> None:
    async with proxy_to(services.valkey.url) as proxy:
        cut_off = settings.model_copy(update={"redis_url": SecretStr(proxy.redis_url)})
        async with open_house_of(cut_off, services.pg.url(services.owner, database_of(settings))) as house:
            doctor, [patient], reader = await a_doctor(house), await house.crowd(1), house.stranger()
            slot = free((await listed(reader, doctor))["items"])[5]
            with proxy.black_hole():
                await book(patient, slot)
                assert await status_of(reader, doctor, slot["id"]) == "BOOKED"
            assert await status_of(reader, doctor, slot["id"]) == "BOOKED"
            async with connect_redis(settings) as redis:
                await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
            assert await status_of(reader, doctor, slot["id"]) == "BOOKED"


async def test_a_changed_profile_is_seen_in_lists_and_by_itself_on_every_server(two_servers: House) -> None:
    house = two_servers
    doctor, here, there = await a_doctor(house), house.stranger(), house.stranger()
    there.base = house.bases[1]
    path = f"/doctors/{doctor.me['doctor_id']}"

    async def fees(reader: Client) -> set[int]:
        found = (await reader.get("/doctors", specialty="cardiology")).json["items"]
        [in_list] = [item["fee"] for item in found if item["id"] == doctor.me["doctor_id"]]
        return {in_list, (await reader.get(path)).json["fee"]}

    assert await fees(there) == {80_000}
    assert (await doctor.patch(path, fee=90_000)).status == 200
    assert await fees(here) == {90_000}

    async def is_seen_there() -> bool:
        return await fees(there) == {90_000}

    await until(is_seen_there)


async def test_an_unlisted_doctor_is_seen_by_nobody_else(house: House) -> None:
    doctor, reader = await a_doctor(house), house.stranger()
    await house.sql("update doctors set verified_at = null where id = $1", doctor.me["doctor_id"])
    path = f"/doctors/{doctor.me['doctor_id']}"
    assert (await doctor.get(path)).status == 200
    assert (await reader.get(path)).status == 404
    assert (await reader.get(f"{path}/slots")).status == 404


async def test_the_first_page_shows_next_times_that_are_free(two_servers: House) -> None:
    house = two_servers
    doctor, [patient], here, there = await a_doctor(house), await house.crowd(1), house.stranger(), house.stranger()
    there.base = house.bases[1]
    page = "//?specialty=Cardiology"

    async def shown_to(reader: Client) -> list[str]:
        return re.findall(r'data-slot="([^"]+)"', (await reader.get(page)).text)

    slots = free((await listed(here, doctor))["items"])
    shown = await shown_to(here)
    assert shown
    assert shown == await shown_to(there) == [slot["id"] for slot in slots[: len(shown)]]
    booked = slots.pop(len(shown) - 1)
    await book(patient, booked)
    after = await shown_to(here)
    assert after
    assert after == [slot["id"] for slot in slots[: len(after)]]

    async def is_gone_there() -> bool:
        return await shown_to(there) == after

    await until(is_gone_there)
    assert "Cardiology" in (await here.get("//?specialty=Astrology")).text  # among the choices
