"""The clinic that the benchmark lists: doctors of one specialty, each with a week of slots."""

from __future__ import annotations

import random
from uuid import uuid4

from server.accounts import InviteUser, invite_user
from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.database import Database
from server.core.ids import DoctorId
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.tx import Role, Tx
from server.core.valkey import connect_redis
from server.doctors import AddDoctor, DoctorAsk, add_doctor, verify_doctor
from server.scheduling import SetHours, WeeklyHours, keep_first_hours

SPECIALTY = "Cardiology"
HOURS = (("09:00", "13:00"), ("14:00", "18:00"))
SLOT_MINUTES = 15


async def open_clinic(settings: Settings, doctors: int) -> list[DoctorId]:
    """Make the doctors with their hours and slots."""
    cipher = Cipher(settings)
    redis = connect_redis(settings)
    async with Publisher(redis, cipher) as publisher:
        database = await Database.connect(settings, utc_now, cipher, publisher)
        try:
            return [
                await database.write(lambda tx, n=n: _doctor(tx, n, cipher), source="bench") for n in range(doctors)
            ]
        finally:
            await database.close()
            await redis.aclose()


async def _doctor(tx: Tx, number: int, cipher: Cipher) -> DoctorId:
    account = InviteUser(
        email=f"doctor-{uuid4().hex}@example.org", name=f"Dr. {number:02}", role=Role.DOCTOR, password_hash="none"
    )
    profile = AddDoctor(
        user_id=await invite_user(tx, account, cipher=cipher),
        name=f"Dr. {number:02}",
        specialty=SPECIALTY,
        languages=["en", "hi"],
        registration_number=f"B {number}",
        fee=random.randrange(300, 900) * 100,
        about="Chest pain, palpitations, raised blood pressure, and life after a heart attack.",
    )
    doctor_id = (await add_doctor(tx, profile)).id
    await verify_doctor(tx, DoctorAsk(id=doctor_id))
    weekly = [
        WeeklyHours(weekday=weekday, from_wall=begin, to_wall=end) for weekday in range(1, 8) for begin, end in HOURS
    ]
    await keep_first_hours(
        tx, SetHours(id=doctor_id, time_zone="Asia/Kolkata", slot_minutes=SLOT_MINUTES, weekly=weekly)
    )
    return doctor_id
