"""The waiting room: who is where, and when their turn should come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from asyncpg import Record

from server.consultations import queries
from server.consultations.estimate import Expected, Past, Turn, pace, turns
from server.consultations.events import ConsultationChanged, QueueChanged, WaitingPosition
from server.consultations.models import Consultation, DelayNotice, Place, Queue, QueueEntry, Readiness
from server.consultations.status import Status
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.ids import ConsultationId, DoctorId
from server.core.tx import Tx

NOBODY = Place(position=None, estimated_start=None, sure=None)


def order(rows: Sequence[Record], as_it_was: Consultation | None = None) -> list[ConsultationId]:
    """Those who wait, by first check-in, or behind whom they were skipped for; with one of them as it was before."""
    waiting: list[tuple[datetime, ConsultationId]] = [
        (row["queued_at"], row["consultation_id"])
        for row in rows
        if row["status"] == Status.PENDING
        and row["checked_in_at"] is not None
        and row["called_at"] is None
        and (as_it_was is None or row["consultation_id"] != as_it_was.id)
    ]
    if as_it_was is not None and as_it_was.is_waiting and as_it_was.checked_in_at is not None:
        waiting.append((as_it_was.queued_at or as_it_was.checked_in_at, as_it_was.id))
    return [id_ for _, id_ in sorted(waiting)]


async def tell(tx: Tx, before: Consultation, after: Consultation, cipher: Cipher) -> None:
    """Tell the room and the queue what a consultation now is, and everybody who waits where they now stand."""
    tx.emit(ConsultationChanged(consultation_id=after.id, consultation=after))
    rows = await queries.queue(tx, after.doctor_id, also=after)
    if before.doctor_id != after.doctor_id:
        await _tell_the_former(tx, before, next(row for row in rows if row["consultation_id"] == after.id), cipher)
    was = order(rows, as_it_was=before if before.doctor_id == after.doctor_id else None)
    if before.doctor_id != after.doctor_id:
        was = [id_ for id_ in was if id_ != after.id]
    await _tell_queue(tx, after.doctor_id, rows, was, after.id, cipher)
    if was != order(rows) or before.status != after.status:
        await tell_places(tx, after.doctor_id, rows)


async def tell_places(tx: Tx, doctor_id: DoctorId, rows: Sequence[Record] | None = None) -> None:
    """Tell everybody who waits for a doctor where they stand, and when their turn should come."""
    rows = await queries.queue(tx, doctor_id) if rows is None else rows
    notice, found = await _turns(tx, doctor_id, rows)
    for position, id_ in enumerate(order(rows), start=1):
        turn = found[id_]
        tx.emit(
            WaitingPosition(
                consultation_id=id_,
                position=position,
                estimated_start=turn.at,
                earliest=turn.earliest,
                latest=turn.latest,
                sure=turn.sure,
                notice=notice,
            )
        )


async def _tell_the_former(tx: Tx, before: Consultation, moved: Record, cipher: Cipher) -> None:
    """The doctor whose consultation it was sees it go, and those behind it move up."""
    entry = await _entry(tx, moved, None, cipher)
    tx.emit(QueueChanged(doctor_id=before.doctor_id, entry=entry.model_copy(update={"listed": False})))
    rows = await queries.queue(tx, before.doctor_id)
    was = order(rows, as_it_was=before)
    await _tell_queue(tx, before.doctor_id, rows, was, None, cipher)
    if was != order(rows):
        await tell_places(tx, before.doctor_id, rows)


async def _tell_queue(
    tx: Tx,
    doctor_id: DoctorId,
    rows: Sequence[Record],
    was: list[ConsultationId],
    changed: ConsultationId | None,
    cipher: Cipher,
) -> None:
    """Tell the doctor's queue of what changed, and of everybody whose position did."""
    before = {id_: position for position, id_ in enumerate(was, start=1)}
    positions = {id_: position for position, id_ in enumerate(order(rows), start=1)}
    for row in rows:
        id_: ConsultationId = row["consultation_id"]
        if id_ == changed or before.get(id_) != positions.get(id_):
            tx.emit(QueueChanged(doctor_id=doctor_id, entry=await _entry(tx, row, positions.get(id_), cipher)))


async def _turns(
    tx: Tx, doctor_id: DoctorId, rows: Sequence[Record]
) -> tuple[DelayNotice | None, dict[ConsultationId, Turn]]:
    notice = await queries.notice(tx, doctor_id)
    waiting = set(order(rows))
    if not waiting:
        return notice, {}
    lately, slot_seconds = await queries.lately(tx, doctor_id)
    past = [Past(row["start_time"], row["checked_in_at"], row["started_at"], row["ended_at"]) for row in lately]
    queue = [
        Expected(
            row["consultation_id"],
            row["start_time"],
            waits_from=row["queued_at"] if row["consultation_id"] in waiting else None,
            called=row["status"] == Status.PENDING and row["called_at"] is not None,
            started_at=row["started_at"] if row["status"] == Status.ACTIVE else None,
        )
        for row in rows
    ]
    return notice, turns(tx.now, queue, pace(tx.now, past, slot_seconds, notice.back_at if notice else None))


async def queue_entries(tx: Tx, doctor_id: DoctorId, cipher: Cipher) -> list[QueueEntry]:
    """The doctor's queue: in the call and called first, then who waits by first check-in, then who is to come."""
    rows = await queries.queue(tx, doctor_id)
    positions = {id_: place for place, id_ in enumerate(order(rows), start=1)}
    entries = [await _entry(tx, row, positions.get(row["consultation_id"]), cipher) for row in rows if row["listed"]]
    return sorted(entries, key=_rank)


async def queue_entry(tx: Tx, id_: ConsultationId, cipher: Cipher) -> QueueEntry:
    """One consultation as its doctor's queue shows it. Raises NotFound."""
    found = await queries.read(tx, id_)
    if found is None:
        raise NotFound
    rows = await queries.queue(tx, found.doctor_id, also=found)
    positions = {other: place for place, other in enumerate(order(rows), start=1)}
    row = next(row for row in rows if row["consultation_id"] == id_)
    return await _entry(tx, row, positions.get(id_), cipher)


async def place_of(tx: Tx, found: Consultation) -> Place:
    """Where this consultation's patient stands in the waiting room."""
    if not found.is_waiting:
        return NOBODY
    rows = await queries.queue(tx, found.doctor_id, also=found)
    notice, by_id = await _turns(tx, found.doctor_id, rows)
    turn = by_id[found.id]
    return Place(
        position=order(rows).index(found.id) + 1,
        estimated_start=turn.at,
        earliest=turn.earliest,
        latest=turn.latest,
        sure=turn.sure,
        notice=notice,
    )


async def first_waiting(tx: Tx, doctor_id: DoctorId) -> list[ConsultationId]:
    """Those who wait for a doctor, in the order of the queue."""
    return order(await queries.queue(tx, doctor_id))


async def whole_queue(tx: Tx, doctor_id: DoctorId, cipher: Cipher) -> Queue:
    """The queue as one thing."""
    return Queue(entries=await queue_entries(tx, doctor_id, cipher), notice=await queries.notice(tx, doctor_id))


async def _entry(tx: Tx, row: Record, position: int | None, cipher: Cipher) -> QueueEntry:
    return QueueEntry(
        consultation_id=row["consultation_id"],
        patient_name=await queries.patient_name(tx, row, cipher),
        start_time=row["start_time"],
        status=Status(row["status"]),
        confirmed_at=row["confirmed_at"],
        checked_in_at=row["checked_in_at"],
        called_at=row["called_at"],
        started_at=row["started_at"],
        position=position,
        listed=row["listed"],
        queued_at=row["queued_at"],
        let_go_first=row["let_go_first"],
        readiness=Readiness.model_validate(json.loads(row["readiness"])) if row["readiness"] else None,
    )


def _rank(entry: QueueEntry) -> tuple[int, datetime, ConsultationId]:
    if entry.status is Status.ACTIVE:
        return 0, entry.started_at or entry.start_time, entry.consultation_id
    if entry.called_at is not None:
        return 1, entry.called_at, entry.consultation_id
    if entry.queued_at is not None:
        return 2, entry.queued_at, entry.consultation_id
    return 3, entry.start_time, entry.consultation_id
