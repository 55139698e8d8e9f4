"""The chaos test of booking: sixty-four patients book while whatever they book with is killed; then SQL proves it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest

from bench.booking.plan import CLIENTS, Plan, Slot, needed, plans
from server.app import open_server
from server.booking import ConsultationBooked
from server.consultations import ConsultationCancelled, ConsultationConfirmed
from server.core.cipher import Cipher
from server.core.events import Event
from server.core.outbox import unpack_payload
from server.core.settings import Settings
from tests.conftest import Services
from tests.house import House
from tests.processes import Program, program, served
from tests.proofs import PROOFS, tell
from tests.rush import Patient, Told, rush
from tests.weather import Weather
from worker.broker import make_broker
from worker.queries import Delivery

SEED = 20_261_126
# Two minutes on two busy cores; ten with AMRUTAM_CHAOS_BOOKINGS=5000.
BOOKINGS = int(os.environ.get("AMRUTAM_CHAOS_BOOKINGS", "640"))  # noqa: TID251 - of this test alone
# A plan is 64 patients with EACH slots of their own, and HOT slots that all of them want. There are spare ones for
# machines that book faster than everything can be killed once.
EACH, HOT = 10, 4
AGAIN = 300
PLANS = max(5, 1 + -(-BOOKINGS // (CLIENTS * EACH + HOT)))
SECONDS = 60 + BOOKINGS // 5
STUCK_SECONDS = 120
SETTLE_SECONDS = STUCK_SECONDS + BOOKINGS // 5
SLOTS = """
    select id, doctor_id, start_time from availability_slots
     where status = 'AVAILABLE' and start_time > now() + interval '26 hours' order by start_time, doctor_id
"""
OPEN_WORK = """
    select (select count(*) from deliveries where done_at is null and parked_at is null)
         + (select count(*) from outbox where relayed_at is null)
"""
WHAT_IS_OPEN = """
    select o.name, d.step, d.tries, d.error, d.sent_at, d.due_at, now()
      from outbox o left join deliveries d on d.event_id = o.id
     where o.relayed_at is null or (d.done_at is null and d.parked_at is null) limit 20
"""


@dataclass
class Clinic:
    """Two servers and two workers as processes, and sixty-four patients."""

    house: House
    servers: list[tuple[Program, str]]
    workers: list[Program]
    tokens: list[str]
    patients: list[str]
    plans: list[Plan]
    began: datetime

    async def settle(self) -> None:
        """Wait until no work is open, while there is less of it from time to time.

        What a killed worker held is done once its lease has run out, a minute after it was sent.
        """
        least, since = sys.maxsize, time.monotonic()
        while left := await self.house.value(OPEN_WORK):
            if left < least:
                least, since = left, time.monotonic()
            assert time.monotonic() - since < STUCK_SECONDS, await self.house.sql(WHAT_IS_OPEN)
            await asyncio.sleep(0.5)


@contextlib.asynccontextmanager
async def clinic_of(settings: Settings, owner_url: str, folder: Path) -> AsyncGenerator[Clinic]:
    """A clinic whose calendars hold enough free slots, each more than a day ahead: all reminders are to come."""
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(served(settings, log=folder / f"server{n}.log")) for n in range(2)]
        workers = [
            await stack.enter_async_context(program(settings, "worker", log=folder / f"worker{n}.log"))
            for n in range(2)
        ]
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        house = House(settings, [], [base for _, base in servers], http, owner_url)
        async with open_server(settings) as here:  # only to make the patients
            house.servers.append(here)
            crowd = await house.crowd(CLIENTS)
        house.servers.clear()
        patients = [str((await client.get("/me")).json["patient_id"]) for client in crowd]
        enough = needed(PLANS - 1, EACH, HOT)
        await house.until(f"select 1 where (select count(*) from ({SLOTS}) s) >= $1", enough, seconds=60)
        free = [
            Slot(str(row["id"]), str(row["doctor_id"]), row["start_time"].isoformat()) for row in await house.sql(SLOTS)
        ]
        yield Clinic(
            house, servers, workers, [client.token for client in crowd], patients,
            plans(free, PLANS - 1, EACH, HOT), await house.value("select now()"),
        )  # fmt: skip


async def send_again(clinic: Clinic, rng: random.Random) -> None:
    """Some of all deliveries, done or not, three times each and in no order."""
    rows = await clinic.house.sql("select event_id, step from deliveries order by event_id, step")
    some = [(row["event_id"], row["step"]) for row in rng.sample(rows, min(AGAIN, len(rows)))] * 3
    rng.shuffle(some)
    broker, send = make_broker(clinic.house.settings, never)
    for delivery in some:
        await send(delivery)
    await broker.shutdown()


async def never(delivery: Delivery) -> None:
    raise AssertionError(f"a sender ran {delivery}")


async def assert_all_of_it_is_true(clinic: Clinic, told: Told) -> None:
    """The proofs, and what the events say (which is sealed, so that SQL cannot tell)."""
    house = clinic.house
    conn = await asyncpg.connect(house.owner_url)
    try:
        await tell(conn, told.bookings, clinic.patients)
        broken = {
            proof: [dict(row) for row in rows[:5]]
            for proof, sql in PROOFS.items()
            if (rows := await conn.fetch(sql, *([clinic.began] if "$1" in sql else [])))
        }
    finally:
        await conn.close()
    assert broken == {}
    rows = await house.sql("select id, confirmed_at, status from consultations")
    once: dict[type[Event], Counter[str]] = {
        ConsultationBooked: Counter(str(row["id"]) for row in rows),
        ConsultationConfirmed: Counter(str(row["id"]) for row in rows if row["confirmed_at"]),
        ConsultationCancelled: Counter(str(row["id"]) for row in rows if row["status"] == "CANCELLED"),
    }
    cipher = Cipher(house.settings)
    said: dict[type[Event], Counter[str]] = {kind: Counter() for kind in once}
    for row in await house.sql("select name, payload from outbox where created_at >= $1", clinic.began):
        event = unpack_payload(row["name"], row["payload"], cipher)
        if type(event) in said:
            said[type(event)][str(cast("Any", event).consultation_id)] += 1
    assert said == once


def patients_of(clinic: Clinic, told: Told) -> list[Patient]:
    """The patients, each with their own mind."""
    ports = [cast("int", urlsplit(base).port) for _, base in clinic.servers]
    return [
        Patient(number, token, ports, told, random.Random(SEED + number)) for number, token in enumerate(clinic.tokens)
    ]


def busy(settings: Settings) -> Settings:
    """Settings for more bookings than people make, and slots enough for them."""
    return settings.model_copy(update={"limit_factor": 1000.0, "slots_days_ahead": 3 + 6 * PLANS, "hold_minutes": 60})


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + SETTLE_SECONDS + 120)
async def test_whatever_is_killed_each_booking_is_there_once_with_all_that_follows_from_it(
    services: Services, settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    async with clinic_of(busy(settings), owner_url, tmp_path) as clinic:
        told, rng = Told(), random.Random(SEED)
        weather = Weather(clinic.servers, clinic.workers, services.valkey, services.pg, rng)
        over = asyncio.Event()
        raging = asyncio.create_task(weather.rage(over))
        try:
            async with asyncio.timeout(SECONDS):
                await rush(
                    patients_of(clinic, told),
                    clinic.plans,
                    lambda: len(told.bookings) >= BOOKINGS and weather.has_done_everything,
                )
        finally:
            over.set()
            await raging
        await send_again(clinic, rng)
        await clinic.settle()
        await assert_all_of_it_is_true(clinic, told)
        # It was a storm: tries were lost, and some of the lost ones had been acts.
        assert weather.has_done_everything
        assert told.broken > 10
        assert told.late > 10


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + SETTLE_SECONDS + 120)
async def test_with_redis_away_altogether_bookings_go_on_and_all_of_it_is_true(
    services: Services, settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    await services.valkey.kill()
    try:
        async with clinic_of(busy(settings), owner_url, tmp_path) as clinic:
            told = Told()
            async with asyncio.timeout(SECONDS):
                await rush(patients_of(clinic, told), clinic.plans[:1], lambda: True)
            await clinic.settle()
            await assert_all_of_it_is_true(clinic, told)
            # On a crowded machine somebody may be asked to come again.
            assert told.answers.keys() <= {"200", "201", "slot-taken", "unavailable", "already-paid"}
            assert told.answers["unavailable"] < len(told.bookings) / 20
    finally:
        await services.valkey.start()
