"""Reading consultations: one, lists by role, the names beside them, the waiting room's place, rooms' snapshots."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from asyncpg import Record

from server.consultations import list_queries, queries
from server.consultations.change import consultation
from server.consultations.chat import latest_messages, read_by_other
from server.consultations.models import (
    Consultation,
    ConsultationRoom,
    Consultations,
    InConsultation,
    ListConsultations,
    Meeting,
    Meetings,
    OfConsultation,
    OfDoctor,
    Place,
    Queue,
)
from server.consultations.waiting import place_of, whole_queue
from server.core.cipher import Cipher
from server.core.errors import FieldError, Invalid, NotFound
from server.core.models import Nothing
from server.core.tx import Actor, Role, Tx

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def get_consultation(tx: Tx, ask: OfConsultation) -> Consultation:
    """One consultation. Raises NotFound."""
    return await consultation(tx, ask.id)


async def list_consultations(tx: Tx, ask: ListConsultations) -> Consultations:
    """A page of the caller's consultations (an administrator's: everybody's)."""
    rows, cursor = await _page(tx, ask)
    return Consultations(items=[queries.consultation_from(row) for row in rows], next_cursor=cursor)


async def list_meetings(tx: Tx, ask: ListConsultations, *, cipher: Cipher) -> Meetings:
    """The same page with the names that people read."""
    rows, cursor = await _page(tx, ask)
    return Meetings(
        items=[_meeting(row, queries.consultation_from(row), await _name(tx, row, cipher)) for row in rows],
        next_cursor=cursor,
    )


async def meeting(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Meeting:
    """One consultation with its names. Raises NotFound."""
    found = await consultation(tx, ask.id)
    row = await queries.people(tx, ask.id)
    assert row is not None
    return _meeting(row, found, await _name(tx, row, cipher))


async def waiting_place(tx: Tx, ask: OfConsultation) -> Place:
    """Where the patient stands in the waiting room; all None for one who does not wait. Raises NotFound."""
    return await place_of(tx, await consultation(tx, ask.id))


async def queue_snapshot(tx: Tx, ask: OfDoctor, *, cipher: Cipher) -> Queue:
    """What a queue's room shows first."""
    return await whole_queue(tx, ask.doctor_id, cipher)


async def own_queue(tx: Tx, ask: Nothing, *, cipher: Cipher) -> Queue:
    """The queue of the doctor who asks. Raises NotFound for anybody else."""
    if tx.actor.doctor_id is None:
        raise NotFound
    return await whole_queue(tx, tx.actor.doctor_id, cipher)


async def consultation_snapshot(tx: Tx, ask: InConsultation, *, cipher: Cipher) -> ConsultationRoom:
    """What a consultation's room shows first. Messages are for its patient, and for its doctor while treating."""
    found = await consultation(tx, ask.consultation_id)
    return ConsultationRoom(
        consultation=found,
        messages=await latest_messages(tx, found, cipher),
        read_by_other=await read_by_other(tx, found),
    )


def _meeting(row: Record, found: Consultation, name: str) -> Meeting:
    return Meeting(consultation=found, doctor_name=row["doctor_name"], specialty=row["specialty"], patient_name=name)


async def _name(tx: Tx, row: Record, cipher: Cipher) -> str:
    return await queries.patient_name(tx, row, cipher)


async def _page(tx: Tx, ask: ListConsultations) -> tuple[list[Record], str | None]:
    actor = tx.actor
    if actor.role is not Role.ADMIN and actor.patient_id is None and actor.doctor_id is None:
        return [], None
    after = _read_cursor(ask.cursor) if ask.cursor else None
    whose, person = _of_whom(actor)
    rows = await list_queries.page(tx, whose, person, ask.when, ask.status, after, ask.limit + 1)
    page = rows[: ask.limit]
    return page, _cursor(page[-1]) if len(rows) > ask.limit else None


def _of_whom(actor: Actor) -> tuple[list_queries.Whose, UUID | None]:
    if actor.role is Role.ADMIN:
        return "everybody", None
    if actor.role is Role.DOCTOR:
        return "doctor", actor.doctor_id
    return "patient", actor.patient_id


def _cursor(row: Record) -> str:
    microseconds = (row["start_time"] - _EPOCH) // timedelta(microseconds=1)
    return f"{microseconds}_{row['id'].hex}"


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    at, _, id_ = cursor.partition("_")
    try:
        return _EPOCH + timedelta(microseconds=int(at)), UUID(hex=id_)
    except (ValueError, OverflowError):
        raise Invalid(
            errors=[FieldError(field="cursor", code="cursor", message="This is no cursor of ours.")]
        ) from None
