"""The peer: the seed's own stack, with its own database and tables, as one Node process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import uuid
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.booking.plan import CLIENTS, DOCTORS, Slot
from bench.load import request
from bench.services import Services, answers, free_port, program, wait_for
from server.up.postgres import OWNER

FOLDER = Path(__file__).parent / "peer"


@dataclass(frozen=True)
class Peer:
    """The running peer, its patients and its free slots."""

    port: int
    pid: int
    patients: Sequence[str]
    slots: Sequence[Slot]

    def booking(self, client: int, slot: Slot) -> bytes:
        """The request with which that client books the slot."""
        body = {"patientId": self.patients[client], "doctorId": slot.doctor_id, "slotId": slot.id}
        return request("POST", "/book", self.port, body)


@contextlib.asynccontextmanager
async def peer(running: Services, slots: int, pool: int) -> AsyncGenerator[Peer]:
    """Install it where it is not yet, make its tables and rows, start it."""
    await asyncio.to_thread(install)
    await running.create("seed")
    await running.sql("seed", (FOLDER / "tables.sql").read_text() + "\nselect 1")
    patients = [str(uuid.uuid4()) for _ in range(CLIENTS)]
    free = await _fill(running, patients, slots)
    env = {
        "DATABASE_URL": running.postgres.url(OWNER, "seed").replace("@/", "@localhost/"),
        "REDIS_URL": running.valkey_socket,
        "PORT": str(free_port()),
        "POOL": str(pool),
        "NODE_ENV": "production",
    }
    async with program(["node", FOLDER / "server.js"], running.folder / "peer.log", env) as child:
        await wait_for(lambda: answers(int(env["PORT"])), child)
        yield Peer(int(env["PORT"]), child.pid, patients, free)


def install() -> None:
    """The packages of its lock file, and Prisma's client; the schema engine is not needed for that."""
    if not (FOLDER / "node_modules").exists():
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=FOLDER, check=True)
    if not (FOLDER / "node_modules" / ".prisma" / "client" / "schema.prisma").exists():
        env = {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true"}
        command = ["env", *(f"{k}={v}" for k, v in env.items()), "npx", "--no-install", "prisma", "generate"]
        subprocess.run(command, cwd=FOLDER, check=True, stdout=subprocess.DEVNULL)


async def _fill(running: Services, patients: Sequence[str], count: int) -> list[Slot]:
    doctors = [str(uuid.uuid4()) for _ in range(DOCTORS)]
    first = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=2)  # noqa: TID251
    starts = [first + timedelta(minutes=15 * (n // DOCTORS)) for n in range(count)]
    free = [Slot(str(uuid.uuid4()), doctors[n % DOCTORS], at.isoformat()) for n, at in enumerate(starts)]
    people = [{"id": person, "role": "DOCTOR"} for person in doctors]
    people += [{"id": person, "role": "PATIENT"} for person in patients]
    rows = [{"id": slot.id, "doctor_id": slot.doctor_id, "at": slot.start_time} for slot in free]
    await running.sql(
        "seed",
        f"""
        create temp table people as
        select * from json_to_recordset({_quoted(people)}) as p (id uuid, role "Role");
        insert into users (id, email, password_hash, role, name) select id, id, '', role, id from people;
        insert into doctors select id, id from people where role = 'DOCTOR';
        insert into patients select id, id from people where role = 'PATIENT';
        insert into availability_slots (id, doctor_id, start_time, end_time)
        select id, doctor_id, at, at + interval '15 minutes'
          from json_to_recordset({_quoted(rows)}) as s (id uuid, doctor_id uuid, at timestamptz);
        analyze
        """,
    )
    return free


def _quoted(value: object) -> str:
    return "'" + json.dumps(value) + "'"
