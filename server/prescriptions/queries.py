"""All SQL of prescriptions."""

from __future__ import annotations

from asyncpg import Record

from server.core.ids import ConsultationId, DoctorId, PatientId, PrescriptionId
from server.core.tx import Tx

ADD = """
    insert into prescriptions (id, consultation_id, patient_id, doctor_id, body, code, created_at)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (code) do nothing returning id
"""
READ = """
    select id, consultation_id, patient_id, doctor_id, body, code, created_at from prescriptions where id = $1
"""
OF_CONSULTATION = """
    select id, consultation_id, patient_id, doctor_id, body, code, created_at
      from prescriptions where consultation_id = $1 order by created_at, id
"""
PEOPLE = """
    select d.name as doctor_name, d.registration_number, d.specialty, d.time_zone,
           p.birth_date, p.sex, u.id as user_id, u.name as patient_name
      from doctors d, patients p join users u on u.id = p.user_id
     where d.id = $1 and p.id = $2
"""
BY_CODE = """
    select pr.code, pr.created_at, pr.doctor_id, pr.patient_id from prescriptions pr where pr.code = $1
"""


async def add(
    tx: Tx,
    id_: PrescriptionId,
    consultation_id: ConsultationId,
    patient_id: PatientId,
    doctor_id: DoctorId,
    body: bytes,
    code: str,
) -> bool:
    """Keep a prescription; False where another one has the code."""
    return (await tx.conn.fetchval(ADD, id_, consultation_id, patient_id, doctor_id, body, code, tx.now)) is not None


async def read(tx: Tx, id_: PrescriptionId) -> Record | None:
    """A prescription, sealed."""
    return await tx.conn.fetchrow(READ, id_)


async def of_consultation(tx: Tx, consultation_id: ConsultationId) -> list[Record]:
    """A consultation's prescriptions, oldest first."""
    return await tx.conn.fetch(OF_CONSULTATION, consultation_id)


async def people(tx: Tx, doctor_id: DoctorId, patient_id: PatientId) -> Record:
    """What a sheet says of its doctor and its patient; the patient's columns are sealed."""
    row = await tx.conn.fetchrow(PEOPLE, doctor_id, patient_id)
    assert row is not None
    return row


async def by_code(tx: Tx, code: str) -> Record | None:
    """The prescription of a code, without what it says."""
    return await tx.conn.fetchrow(BY_CODE, code)
