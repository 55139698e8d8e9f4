"""The months of a clinic, by generator: each has the same number of consultations, and patients of its own.

Every slot of the past was booked and held. A patient comes four times in the month in which they come, so that whoever
is asked for has as many consultations after a year as after a month: what then differs is the tables around them.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.services import Services

SLOTS_A_DAY = 20
DAYS_A_MONTH = 30
VISITS = 4
BOOKED_DAYS = 3
FREE_DAYS = 9
AHEAD = 12

DOCTORS = """
    create table bench_doctors as
    select i, gen_random_uuid() as id, null::int as n from generate_series(0, {doctors} - 1) i;
    insert into users (id, role, email, email_hash, name, created_at)
    select id, 'DOCTOR', '', ('doctor ' || i)::bytea, '', now() from bench_doctors;
    insert into doctors (id, user_id, name, specialty, registration_number, fee_minor, search_text, verified_at,
                         created_at)
    select id, id, 'Dr. ' || i, 'General medicine', i::text, 50000, '', now(), now() - interval '2 years'
      from bench_doctors;
    update bench_doctors b set n = d.n from doctors d where d.id = b.id;
    create table bench_patients (month int, i int, id uuid, n int, primary key (month, i));
    create table bench_visits (month int, id uuid, at timestamptz, doctor int, patient int, start_time timestamptz);
    select 1
"""
# Today and two more days are booked by the patients who can log in; what follows is free.
DAYS_TO_COME = """
    update patients set created_at = now() - interval '3 days';
    insert into bench_patients select -1, row_number() over (order by p.n) - 1, p.id, p.n from patients p;
    insert into bench_visits
    select -1, id_at(at), date_trunc('milliseconds', at), g % {doctors}, g % {regulars}, start_time
      from generate_series(0, {doctors} * {slots} * {booked_days} - 1) g,
           lateral (select g / {doctors} as nth) as t,
           lateral (select date_trunc('day', now()) + make_interval(days => nth / {slots}, hours => 4,
                                                                   mins => nth % {slots} * 15) as start_time) as s,
           lateral (select now() - interval '1 day' - random() * interval '1 day' as at) as c;
    insert into availability_slots (id, doctor_id, doctor_n, start_time, end_time, fee_minor, currency)
    select gen_random_uuid(), d.id, d.n, at, at + interval '15 minutes', 50000, 'INR'
      from bench_doctors d,
           generate_series({booked_days}, {booked_days} + {free_days} - 1) day,
           generate_series(0, {slots} - 1) nth,
           lateral (select date_trunc('day', now())
                           + make_interval(days => day, hours => 4, mins => nth * 15) as at) as s;
    analyze bench_patients;
    analyze bench_visits;
    select 1
"""
MONTH = """
    insert into bench_patients select {month}, i, gen_random_uuid() from generate_series(0, {patients} - 1) i;
    insert into users (id, role, email, email_hash, name, created_at)
    select id, 'PATIENT', '', id::text::bytea, '', now() - make_interval(days => ({month} + 2) * {days})
      from bench_patients where month = {month};
    insert into patients (id, user_id, created_at)
    select id, id, now() - make_interval(days => ({month} + 2) * {days}) from bench_patients where month = {month};
    update bench_patients b set n = p.n from patients p where p.id = b.id and b.month = {month};
    insert into bench_visits
    select {month}, id_at(at), date_trunc('milliseconds', at), g % {doctors}, g % {patients}, start_time
      from generate_series(0, {doctors} * {slots} * {days} - 1) g,
           lateral (select g / {doctors} as nth) as t,
           lateral (select date_trunc('day', now())
                           - make_interval(days => {month} * {days} + 1 + nth / {slots})
                           + make_interval(hours => 4, mins => nth % {slots} * 15) as start_time) as s,
           lateral (select start_time - interval '3 days' - random() * interval '1 day' as at) as c;
    analyze bench_patients;
    analyze bench_visits;
    select 1
"""
# Of each visit all that booking leaves for good, and a line in the trail.
VISITED = """
    insert into consultations (id, created_at, patient_id, doctor_id, slot_id, status, meeting_link, start_time,
                               end_time, confirmed_at, checked_in_at, called_at, started_at, ended_at, ended_as)
    select v.id, id_time(v.id), p.id, d.id, v.id, case when past then 'COMPLETED' else 'PENDING' end,
           '/consultations/' || v.id, v.start_time, ends, v.at,
           case when past then v.start_time end, case when past then v.start_time end,
           case when past then v.start_time end, case when past then ends end, case when past then 'completed' end
      from bench_visits v
      join bench_doctors d on d.i = v.doctor
      join bench_patients p on p.month = v.month and p.i = v.patient,
           lateral (select v.month >= 0 as past, v.start_time + interval '15 minutes' as ends) as x
     where v.month = {month};
    insert into availability_slots (id, doctor_id, doctor_n, start_time, end_time, status, consultation_id, patient_n,
                                    fee_minor, currency, version)
    select v.id, d.id, d.n, v.start_time, v.start_time + interval '15 minutes', 'BOOKED', v.id, p.n, 50000, 'INR', 2
      from bench_visits v
      join bench_doctors d on d.i = v.doctor
      join bench_patients p on p.month = v.month and p.i = v.patient
     where v.month = {month};
    insert into payments (id, consultation_id, patient_id, amount_minor, currency, status, provider, provider_order,
                          created_at)
    select v.id, v.id, p.id, 50000, 'INR', 'captured', 'sandbox', v.id::text, v.at
      from bench_visits v join bench_patients p on p.month = v.month and p.i = v.patient
     where v.month = {month};
    insert into payment_entries (id, payment_id, kind, amount_minor, provider, provider_payment, created_at)
    select v.id, v.id, 'captured', 50000, 'sandbox', v.id::text, v.at from bench_visits v where v.month = {month};
    insert into rooms (name, seq) select 'consultation:' || v.id, 3 from bench_visits v where v.month = {month};
    insert into audit_logs (id, created_at, actor_role, source, action, table_name, row_id, patient_id, after_hash)
    select v.id, id_time(v.id), 'PATIENT', 'rest', 'insert', 'consultations', v.id, p.id, sha256(v.id::text::bytea)
      from bench_visits v join bench_patients p on p.month = v.month and p.i = v.patient
     where v.month = {month};
    select 1
"""


@dataclass(frozen=True)
class Size:
    """How many consultations a month has; what a clinic of that many needs."""

    doctors: int

    @property
    def a_month(self) -> int:
        """Consultations a month."""
        return self.doctors * SLOTS_A_DAY * DAYS_A_MONTH

    @property
    def regulars(self) -> int:
        """Patients who can log in: more than doctors, so that none is in two places at once."""
        return self.doctors + 14

    @property
    def free(self) -> int:
        """Slots that can be booked."""
        return self.doctors * SLOTS_A_DAY * FREE_DAYS

    def script(self, text: str, month: int = -1) -> str:
        """A part of the generator, as one script without triggers and foreign keys, whose work others have proven."""
        filled = text.format(
            doctors=self.doctors,
            patients=self.a_month // VISITS,
            regulars=self.regulars,
            slots=SLOTS_A_DAY,
            days=DAYS_A_MONTH,
            booked_days=BOOKED_DAYS,
            free_days=FREE_DAYS,
            month=month,
        )
        return "set session_replication_role = replica;\n" + filled


async def first_days(running: Services, database: str, size: Size) -> None:
    """The doctors, and the days to come. The patients who can log in are there already."""
    await running.sql(database, size.script(DOCTORS))
    await running.sql(database, size.script(DAYS_TO_COME + ";\n" + VISITED))


async def add_months(running: Services, database: str, size: Size, months: range) -> None:
    """These months, 0 being the last thirty days, in their partitions; and empty ones for a year ahead, as always."""
    first = f"(now() - interval '{months.stop + 1} months')::date"
    await running.sql(database, f"select make_partitions({first}, {months.stop + 1 + AHEAD})")
    for month in months:
        await running.sql(database, size.script(MONTH, month))
        await running.sql(database, size.script(VISITED, month))


async def tidy(running: Services, database: str) -> None:
    """What a database that runs for a year has behind it. Commits wait for no disk: it would be what is measured."""
    await running.sql(database, f"alter database {database} set synchronous_commit = off;\nselect 1")
    await running.sql(database, "vacuum (analyze);\nselect 1")
