"""All SQL of the trail's readers. Rows are written by triggers, the edge and nobody else."""

from __future__ import annotations

import functools
from uuid import UUID

from asyncpg import Record

from server.core.ids import PatientId, made_at
from server.core.tx import Tx

# Plans are made once and not for the values of a call, so only what is asked for stands in the text: a condition that
# holds for whatever is not named would have the whole trail read.
FILTERS = {
    "table": "table_name = ${}::text",
    "row": "row_id = ${}::uuid",
    "patient": "patient_id = ${}::uuid",
    "actor": "actor_id = ${}::uuid",
}
INDEXED = frozenset({"row", "patient"})
LONGEST_PAGE = 201
ACCESS = """
    select a.id, a.created_at, a.actor_role, a.action, a.table_name, a.row_id, a.reason, a.outcome,
           d.name as doctor_name
      from audit_logs a
      left join doctors d on d.user_id = a.actor_id
     where a.patient_id = $1 and a.action in ('read', 'refused')
       and ($2::timestamptz is null or (a.created_at, a.id) < ($2, $3::uuid))
     order by a.created_at desc, a.id desc limit $4
"""


@functools.cache
def statement(given: tuple[str, ...]) -> str:
    """The newest rows first, older than the id $1, at most $2, for what is given, from $3 on.

    An id begins with its millisecond, which is created_at: the order of (created_at, id), which the indexes of rows and
    of patients have, is that of the ids, which the primary key has.
    """
    conditions = "".join(f" and {FILTERS[name].format(number)}" for number, name in enumerate(given, 3))
    order = "created_at desc, id desc" if INDEXED & set(given) else "id desc"
    return f"""
        select * from (
            select id, created_at, actor_id, actor_role, source, request_id, action, table_name, row_id, patient_id,
                   changed, reason, outcome
              from audit_logs
             where id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'){conditions}
             order by {order} limit {LONGEST_PAGE}
        ) as page
         order by {order} limit $2
    """  # noqa: S608 - constants


async def rows(
    tx: Tx,
    table: str | None,
    row: UUID | None,
    patient: UUID | None,
    actor: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[Record]:
    """Rows of the trail, newest first, older than `before`; at most LONGEST_PAGE."""
    asked = {"table": table, "row": row, "patient": patient, "actor": actor}
    given = {name: value for name, value in asked.items() if value is not None}
    return await tx.conn.fetch(statement(tuple(given)), before, limit, *given.values())


async def reads(tx: Tx, patient: PatientId, before: UUID | None, limit: int) -> list[Record]:
    """Reads of a patient's record, newest first, older than `before`."""
    return await tx.conn.fetch(ACCESS, patient, made_at(before) if before else None, before, limit)
