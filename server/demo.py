"""The demo's people: an administrator, eight doctors with hours, eight patients. Seeding again changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from server.accounts import (
    AddPatient,
    ChangeMe,
    FindUser,
    FoundUser,
    GivePassword,
    InviteUser,
    Passwords,
    Sex,
    add_patient,
    change_me,
    find_user,
    give_password,
    invite_user,
)
from server.core.cipher import Cipher
from server.core.clock import shifted_clock
from server.core.database import Database
from server.core.ids import DoctorId
from server.core.publish import Publisher
from server.core.settings import Settings, SettingsMistake
from server.core.tx import Actor, Role, Tx
from server.core.valkey import connect_redis
from server.doctors import AddDoctor, DoctorAsk, add_doctor, verify_doctor
from server.scheduling import SetHours, WeeklyHours, keep_first_hours

ZONE = "Asia/Kolkata"
AT_ONCE = 4
ADMIN = "admin@example.org"


@dataclass(frozen=True, slots=True)
class DemoDoctor:
    """A doctor of the demo. `fee` in paise."""

    name: str
    specialty: str
    languages: Sequence[str]
    fee: int
    registration_number: str
    about: str
    slot_minutes: int
    buffer_minutes: int
    hours: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class DemoPatient:
    """A patient of the demo."""

    name: str
    sex: Sex
    born: date
    language: str = "en"


ROUND_THE_CLOCK = (("00:00", "24:00"),)
DOCTORS = (
    DemoDoctor(
        "Dr. Ananya Rao",
        "General medicine",
        ("en", "hi", "kn"),
        0,
        "KMC 48213",
        "Family physician with sixteen years in Bengaluru. Fevers, coughs, blood pressure, sugar, and the second look "
        "at a report that worries you. This first consultation is free of charge.",
        30,
        0,
        ROUND_THE_CLOCK,
    ),
    DemoDoctor(
        "Dr. Arjun Sen",
        "Cardiology",
        ("en", "bn", "hi"),
        80_000,
        "WBMC 61507",
        "Cardiologist in Kolkata. Chest pain, palpitations, raised blood pressure, and life after a heart attack. "
        "Please have your last ECG and your tablets beside you.",
        30,
        0,
        ROUND_THE_CLOCK,
    ),
    DemoDoctor(
        "Dr. Meenakshi Subramanian",
        "Dermatology",
        ("en", "ta"),
        60_000,
        "TNMC 75980",
        "Skin, hair and nails. Acne, eczema, fungal infections and pigmentation, in daylight and close to the camera "
        "if you can.",
        20,
        10,
        (("09:00", "13:00"), ("16:00", "20:00")),
    ),
    DemoDoctor(
        "Dr. Imran Qureshi",
        "Paediatrics",
        ("en", "hi", "ur"),
        50_000,
        "DMC 39462",
        "Paediatrician for newborns to teenagers. Fever, feeding, growth and vaccination. Keep the child's weight and "
        "the vaccination card at hand.",
        20,
        10,
        (("10:00", "14:00"), ("17:00", "21:00")),
    ),
    DemoDoctor(
        "Dr. Kavita Deshpande",
        "Gynaecology",
        ("en", "hi", "mr"),
        70_000,
        "MMC 52874",
        "Obstetrician and gynaecologist in Pune. Periods, PCOS, contraception, pregnancy and menopause, without hurry "
        "and without judgement.",
        30,
        0,
        (("09:00", "12:00"), ("18:00", "21:00")),
    ),
    DemoDoctor(
        "Dr. Harpreet Singh Gill",
        "Orthopaedics",
        ("en", "hi", "pa"),
        65_000,
        "PMC 28119",
        "Bones, joints and backs. Knee pain, slipped discs, sports injuries, and what to do before and after surgery.",
        30,
        0,
        (("08:00", "12:00"), ("15:00", "18:00")),
    ),
    DemoDoctor(
        "Dr. Lakshmi Menon",
        "Psychiatry",
        ("en", "ml", "ta"),
        90_000,
        "TCMC 34056",
        "Psychiatrist in Kochi. Anxiety, low mood, sleep and exam stress. What you say stays between us; the notes are "
        "sealed.",
        45,
        15,
        (("10:00", "13:00"), ("16:00", "20:00")),
    ),
    DemoDoctor(
        "Dr. Vaidya Raghav Joshi",
        "Ayurveda",
        ("en", "hi", "gu", "sa"),
        40_000,
        "GBAU 17345",
        "Ayurvedic physician, BAMS and MD (Kayachikitsa). Digestion, sleep, joints and daily routine, alongside the "
        "treatment you already have.",
        30,
        0,
        (("07:00", "11:00"), ("16:00", "19:00")),
    ),
)
PATIENTS = (
    DemoPatient("Asha Verma", Sex.FEMALE, date(1988, 4, 17), "en"),
    DemoPatient("Vikram Nair", Sex.MALE, date(1979, 11, 2), "en"),
    DemoPatient("Sunita Devi", Sex.FEMALE, date(1965, 1, 26), "hi"),
    DemoPatient("Mohammed Irfan", Sex.MALE, date(1992, 7, 9), "en"),
    DemoPatient("Priya Chatterjee", Sex.FEMALE, date(1999, 9, 30), "en"),
    DemoPatient("Gurdeep Kaur", Sex.FEMALE, date(1957, 12, 5), "en"),
    DemoPatient("कमला", Sex.FEMALE, date(1971, 3, 8), "hi"),
    DemoPatient("Thomas Kurian", Sex.MALE, date(2003, 6, 21), "en"),
)


async def seed_demo(settings: Settings) -> None:
    """Make what is missing of the demo's people, all with `demo_password`. Raises SettingsMistake without one."""
    if settings.demo_password is None:
        raise SettingsMistake("AMRUTAM_DEMO_PASSWORD is missing: the demo accounts need a password")
    password = settings.demo_password.get_secret_value()
    cipher = Cipher(settings)
    clock = shifted_clock(settings.clock_shift_seconds)
    redis = connect_redis(settings)
    passwords = Passwords()
    try:
        async with Publisher(redis, cipher) as publisher:
            database = await Database.connect(settings, clock, cipher, publisher)
            try:
                await _Seeding(database, cipher, passwords, password).all()
            finally:
                await database.close()
    finally:
        passwords.close()
        await redis.aclose()


class _Seeding:
    def __init__(self, database: Database, cipher: Cipher, passwords: Passwords, password: str) -> None:
        self._database = database
        self._cipher = cipher
        self._passwords = passwords
        self._password = password
        self._is_another = False
        self._places = asyncio.Semaphore(AT_ONCE)

    async def all(self) -> None:
        """One hash for everybody; doctors with their slots at the same time, as far as connections go."""
        password_hash = await self._passwords.hash(self._password)
        self._is_another = await self._password_is_another()
        work = [self._doctor(f"doctor{n}@example.org", doctor, password_hash) for n, doctor in enumerate(DOCTORS, 1)]
        work += [self._patient(f"patient{n}@example.org", one, password_hash) for n, one in enumerate(PATIENTS, 1)]
        await asyncio.gather(*work)
        # The administrator last: by their password the next start sees whether everybody has the new one.
        await self._admin(ADMIN, password_hash)

    async def _admin(self, email: str, password_hash: str) -> None:
        async def make(tx: Tx) -> None:
            ask = InviteUser(email=email, name="Mira Kulkarni", role=Role.ADMIN, password_hash=password_hash)
            await invite_user(tx, ask, cipher=self._cipher)

        async with self._places:
            if not await self._is_there(email, password_hash):
                await self._database.write(make, source="demo")

    async def _doctor(self, email: str, doctor: DemoDoctor, password_hash: str) -> None:
        async def make(tx: Tx) -> None:
            ask = InviteUser(email=email, name=doctor.name, role=Role.DOCTOR, password_hash=password_hash)
            user_id = await invite_user(tx, ask, cipher=self._cipher)
            profile = AddDoctor(
                user_id=user_id,
                name=doctor.name,
                specialty=doctor.specialty,
                languages=list(doctor.languages),
                registration_number=doctor.registration_number,
                fee=doctor.fee,
                about=doctor.about,
            )
            doctor_id = (await add_doctor(tx, profile)).id
            await verify_doctor(tx, DoctorAsk(id=doctor_id))
            await keep_first_hours(tx, _week(doctor_id, doctor, tx.now))

        async with self._places:
            if not await self._is_there(email, password_hash):
                await self._database.write(make, source="demo")

    async def _patient(self, email: str, patient: DemoPatient, password_hash: str) -> None:
        async def make(tx: Tx) -> None:
            ask = AddPatient(
                email=email, name=patient.name, language=patient.language, password_hash=password_hash, verified=True
            )
            await add_patient(tx, ask, cipher=self._cipher)
            found = await find_user(tx, FindUser(email=email), cipher=self._cipher)
            assert found is not None
            tx.actor = Actor(role=Role.PATIENT, user_id=found.user_id, patient_id=found.patient_id)
            await change_me(tx, ChangeMe(birth_date=patient.born, sex=patient.sex), cipher=self._cipher)

        async with self._places:
            if not await self._is_there(email, password_hash):
                await self._database.write(make, source="demo")

    async def _is_there(self, email: str, password_hash: str) -> bool:
        """Whether the account was made before; it gets the demo's password where that is another one since."""
        found = await self._find(email)
        if found is None:
            return False
        if self._is_another:
            ask = GivePassword(user_id=found.user_id, password_hash=password_hash)
            await self._database.write(lambda tx: give_password(tx, ask), source="demo")
        return True

    async def _password_is_another(self) -> bool:
        found = await self._find(ADMIN)
        return found is not None and not await self._passwords.verify(found.password_hash, self._password)

    async def _find(self, email: str) -> FoundUser | None:
        async def look(tx: Tx) -> FoundUser | None:
            return await find_user(tx, FindUser(email=email), cipher=self._cipher)

        return await self._database.read(look, source="demo")


def _week(doctor_id: DoctorId, doctor: DemoDoctor, now: datetime) -> SetHours:
    """The doctor's week; on the weekday that it is, and on the next, round the clock: a demo begins at any hour."""
    today = now.astimezone(ZoneInfo(ZONE)).isoweekday()
    open_days = {today, today % 7 + 1}
    return SetHours(
        id=doctor_id,
        time_zone=ZONE,
        slot_minutes=doctor.slot_minutes,
        buffer_minutes=doctor.buffer_minutes,
        weekly=[
            WeeklyHours(weekday=weekday, from_wall=begin, to_wall=end)
            for weekday in range(1, 8)
            for begin, end in (ROUND_THE_CLOCK if weekday in open_days else doctor.hours)
        ],
    )
