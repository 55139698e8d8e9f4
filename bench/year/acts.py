"""What is timed, each by the product's own function: booking, and what people look up all day."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import cast

from bench.services import Services
from server.accounts import AddPatient, add_patient
from server.booking import BookSlot, book_slot
from server.consultations import ListConsultations, OfConsultation, get_consultation, list_consultations, own_queue
from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.database import Database
from server.core.ids import ConsultationId, DoctorId, PatientId, SlotId, UserId
from server.core.models import Nothing
from server.core.publish import Publisher
from server.core.settings import Settings, read_settings
from server.core.tx import Actor, Role, Tx
from server.core.valkey import connect_redis
from server.scheduling import ListSlots, ReadCalendar, read_calendar, read_slots
from server.up.postgres import APPLICATION

Act = Callable[[int], Awaitable[object]]

BOOK = "book a free slot"
BY_ID = "a consultation by its id"
MINE = "my consultations, all"
COMING = "my consultations, to come"
DOCTORS = "a doctor's latest"
EVERYBODYS = "everybody's latest"
QUEUE = "a doctor's day"
CALENDAR = "a doctor's week"
SLOTS = "free slots of a week"
ACTS = (BOOK, BY_ID, MINE, COMING, DOCTORS, EVERYBODYS, QUEUE, CALENDAR, SLOTS)


@dataclass(frozen=True)
class Clinic:
    """One database through the server's own layer, on one connection; each act by its name, the nth time."""

    database: Database
    acts: dict[str, Act]


def settings_of(running: Services, database: str) -> Settings:
    """A server of one connection on this database, without limits for patients."""
    return read_settings(
        {},
        environment="test",
        database_url=running.postgres.url(APPLICATION, database),
        redis_url=running.valkey.url,
        secret="a secret of the benchmark's alone, long enough",
        key_encryption_key="a key of the benchmark's alone, long enough",
        sandbox_secret="another of the benchmark's, also long enough",
        daily_limit=0,
        pool_min=1,
        pool_max=1,
    )


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Database]:
    """The server's database layer, with all that a commit touches."""
    cipher = Cipher(settings)
    redis = connect_redis(settings)
    try:
        async with Publisher(redis, cipher) as publisher:
            database = await Database.connect(settings, utc_now, cipher, publisher)
            try:
                yield database
            finally:
                await database.close()
    finally:
        await redis.aclose()


async def register(settings: Settings, count: int) -> None:
    """Patients who can log in, their names sealed."""
    async with opened(settings) as database:
        for number in range(count):
            ask = AddPatient(
                email=f"regular{number}@example.org", password_hash="none", name=f"Patient {number}", verified=True
            )
            await database.write(lambda tx, ask=ask: add_patient(tx, ask, cipher=database.cipher), source="bench")


@contextlib.asynccontextmanager
async def clinic(running: Services, name: str) -> AsyncGenerator[Clinic]:
    """A filled database, and everything that is timed in it."""
    settings = settings_of(running, name)
    async with opened(settings) as database:
        yield Clinic(database, await database.read(lambda tx: _acts(tx, database, settings)))


async def _acts(tx: Tx, database: Database, settings: Settings) -> dict[str, Act]:
    fetch = tx.conn.fetch
    regulars = [
        Actor(Role.PATIENT, UserId(row["user_id"]), PatientId(row["id"]), row["n"])
        for row in await fetch(
            "select p.id, p.user_id, p.n from patients p join users u on u.id = p.user_id"
            " where u.email_verified_at is not null order by p.n"
        )
    ]
    doctors = [
        Actor(Role.DOCTOR, UserId(row["user_id"]), doctor_id=DoctorId(row["id"]))
        for row in await fetch("select id, user_id from doctors order by n")
    ]
    free = [
        SlotId(row["id"])
        for row in await fetch(
            "select id from availability_slots where status = 'AVAILABLE' order by start_time, doctor_n"
        )
    ]
    # They came for the last time a few days ago, and for the first time a month ago, in each of the databases.
    recent = [
        Actor(Role.PATIENT, UserId(row["user_id"]), PatientId(row["id"]), row["n"])
        for row in await fetch(
            "select distinct p.id, p.user_id, p.n from consultations c join patients p on p.id = c.patient_id"
            " where c.status = 'COMPLETED' and c.created_at > $1 limit 1000",
            tx.now - timedelta(days=9),
        )
    ]
    ids = [
        ConsultationId(row["id"])
        for row in await fetch("select id from consultations order by md5(id::text) limit 5000")
    ]
    administrators = [Actor(Role.ADMIN, regulars[0].user_id)]
    read, cipher = database.read, database.cipher

    def booking(n: int) -> Awaitable[object]:
        book = partial(book_slot, ask=BookSlot(slot_id=free[n]), cipher=cipher, settings=settings)
        return database.write(book, actor=regulars[n % len(regulars)], at_once=True)

    def listing(actors: Sequence[Actor], ask: ListConsultations) -> Act:
        return lambda n: read(partial(list_consultations, ask=ask), actor=actors[n % len(actors)])

    def slots(n: int) -> Awaitable[object]:
        ask = ListSlots(id=cast(DoctorId, doctors[n % len(doctors)].doctor_id))
        return read(partial(read_slots, ask=ask, settings=settings))

    def week(n: int) -> Awaitable[object]:
        doctor = doctors[n % len(doctors)]
        ask = ReadCalendar(
            id=cast(DoctorId, doctor.doctor_id), from_time=utc_now(), to_time=utc_now() + timedelta(days=7)
        )
        return read(partial(read_calendar, ask=ask), actor=doctor)

    return {
        BOOK: booking,
        BY_ID: lambda n: read(partial(get_consultation, ask=OfConsultation(id=ids[n % len(ids)]))),
        MINE: listing(recent, ListConsultations()),
        COMING: listing(regulars, ListConsultations(when="upcoming")),
        DOCTORS: listing(doctors, ListConsultations(when="past")),
        EVERYBODYS: listing(administrators, ListConsultations()),
        QUEUE: lambda n: read(partial(own_queue, ask=Nothing(), cipher=cipher), actor=doctors[n % len(doctors)]),
        CALENDAR: week,
        SLOTS: slots,
    }
