"""The limit: pgbench doing the booking's SQL on the server's own schema, triggers and constraints and all."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

from bench.booking.plan import CLIENTS, DOCTORS
from bench.services import Services
from server.up.programs import postgres_programs

SCRIPT = Path(__file__).with_suffix(".sql")


async def prepare(running: Services, bookings: int) -> None:
    """A database of its own with the real schema and that many free slots, each with the patient who will book it."""
    await running.create_schema("sql_alone")
    await running.sql(
        "sql_alone",
        f"""
        create temp table people as
        select n, gen_random_uuid() as id, case when n < {DOCTORS} then 'DOCTOR' else 'PATIENT' end as role
          from generate_series(0, {DOCTORS + CLIENTS - 1}) n;
        insert into users (id, role, email, email_hash, name, created_at)
        select id, role, '', n::text::bytea, '', now() from people;
        insert into doctors (id, user_id, name, specialty, registration_number, fee_minor, search_text, created_at)
        select id, id, n::text, 'general', n::text, 50000, '', now() from people where role = 'DOCTOR';
        insert into patients (id, user_id, created_at) select id, id, now() from people where role = 'PATIENT';
        create temp table wanted as
        select i, gen_random_uuid() as id, date_trunc('hour', now()) + interval '2 days'
                                             + i / {DOCTORS} * interval '15 minutes' as at
          from generate_series(0, {bookings - 1}) i;
        insert into availability_slots (id, doctor_id, doctor_n, start_time, end_time, fee_minor, currency)
        select w.id, d.id, d.n, w.at, w.at + interval '15 minutes', d.fee_minor, d.currency
          from wanted w join people p on p.n = w.i % {DOCTORS} join doctors d on d.id = p.id;
        create table bench_bookings as
        select w.i as n, w.id as slot_id, t.id as patient_id, t.n as patient_n
          from wanted w join people p on p.n = {DOCTORS} + w.i % {CLIENTS} join patients t on t.id = p.id;
        alter table bench_bookings add primary key (n);
        create sequence bench_next minvalue 0 start 0;
        grant select on bench_bookings to amrutam_app;
        grant usage on bench_next to amrutam_app;
        analyze
        """,
    )


async def bookings_a_second(running: Services, each: int, connections: int) -> float:
    """Book `each` slots a connection. Raises CalledProcessError when a transaction fails."""
    pgbench = postgres_programs(running.postgres.folder) / "pgbench"
    command = [pgbench, "-h", running.sockets, "-U", "amrutam_app", "-n", "-M", "prepared"]
    command += ["-c", str(connections), "-j", "1", "-t", str(each), "-f", SCRIPT, "sql_alone"]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
    rate = re.search(r"tps = ([\d.]+)", done.stdout)
    assert rate is not None, done.stdout + done.stderr
    return float(rate[1])
