"""The waiting room: who is where, and when their turn should come, learned from the doctor's own days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median, quantiles

from asyncpg import Record

from server.consultations import queries
from server.consultations.events import ConsultationChanged, QueueChanged, WaitingPosition
from server.consultations.models import Consultation, Place, Queue, QueueEntry, Sure
from server.consultations.status import Status
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.ids import ConsultationId, DoctorId
from server.core.tx import Tx

LEARNED_FROM = 40
FEW = 5
SAME_DAY = timedelta(hours=10)
NOBODY = Place(position=None, estimated_start=None, sure=None)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long this doctor takes (seconds: the middle, and how far apart the middle half lies), from how many
    consultations that is known, and by how much the doctor begins after the slots' times today (seconds)."""

    middle: float
    spread: float
    known: int
    delay: float
    durations: tuple[float, ...] = ()

    def left(self, elapsed: float) -> float:
        """What a consultation that has run for so long still takes: of those that ran longer, the middle rest."""
        longer = [duration - elapsed for duration in self.durations if duration > elapsed]
        return median(longer) if longer else max(self.middle - elapsed, 60.0)


@dataclass(frozen=True, slots=True)
class Turn:
    """When a turn should come, from when to when it may, and how sure that is."""

    at: datetime
    earliest: datetime
    latest: datetime
    sure: Sure


def pace(now: datetime, rows: Sequence[Record], slot_seconds: int) -> Pace:
    """The pace of a doctor from the latest consultations; the slot's length where nothing is known."""
    durations = [
        (row["ended_at"] - row["started_at"]).total_seconds()
        for row in rows
        if row["status"] == Status.COMPLETED and row["ended_at"] is not None
    ][:LEARNED_FROM]
    today = sorted((row["started_at"], row["start_time"]) for row in rows if now - row["started_at"] < SAME_DAY)
    late = [(began - due).total_seconds() for began, due in today[-3:]]
    delay = min(max(median(late), -1800.0), 3 * 3600.0) if late else 0.0
    if len(durations) < 2:
        middle = float(durations[0] + slot_seconds) / 2 if durations else float(slot_seconds)
        return Pace(middle, float(slot_seconds), len(durations), delay, tuple(durations))
    first, _, third = quantiles(durations, n=4, method="inclusive")
    return Pace(median(durations), third - first, len(durations), delay, tuple(durations))


def turn(now: datetime, seconds: float, steps: int, of: Pace) -> Turn:
    """A turn in so many seconds, after `steps` consultations whose length nobody knows yet."""
    # Independent durations: their spreads add as squares do. With nobody before, what is left is the doctor's delay.
    half = of.spread / 2 * max(steps, 0.5) ** 0.5
    sure: Sure = "good" if half <= 300 else "fair" if half <= 750 else "low"
    if of.known < FEW:
        sure = "fair" if steps == 0 else "low"
    at = (now + timedelta(seconds=seconds)).replace(microsecond=0)
    return Turn(at, max(now, at - timedelta(seconds=half)), at + timedelta(seconds=half), sure)


def order(rows: Sequence[Record]) -> list[ConsultationId]:
    """Those who wait, by first check-in."""
    waiting = [
        row
        for row in rows
        if row["status"] == Status.PENDING and row["checked_in_at"] is not None and row["called_at"] is None
    ]
    waiting.sort(key=lambda row: (row["checked_in_at"], row["consultation_id"]))
    return [row["consultation_id"] for row in waiting]


def turns(now: datetime, rows: Sequence[Record], of: Pace) -> dict[ConsultationId, tuple[int, Turn]]:
    """The place and the turn of everybody who waits.

    The doctor is followed through the queue: free after the call that is on and those called already, then taking
    the first by check-in whose own slot has come (shifted by today's delay), else whoever's slot comes soonest.
    """
    by_id = {row["consultation_id"]: row for row in rows}
    places = {id_: place for place, id_ in enumerate(order(rows), start=1)}
    opens = {id_: (by_id[id_]["start_time"] - now).total_seconds() + of.delay for id_ in places}
    in_call = [row for row in rows if row["status"] == Status.ACTIVE and row["started_at"] is not None]
    steps = len(in_call) + sum(row["status"] == Status.PENDING and row["called_at"] is not None for row in rows)
    free_at = max((of.left((now - row["started_at"]).total_seconds()) for row in in_call), default=0.0)
    free_at += (steps - len(in_call)) * of.middle
    found: dict[ConsultationId, tuple[int, Turn]] = {}
    left = list(places)
    while left:
        chosen = next((id_ for id_ in left if opens[id_] <= free_at), None) or min(left, key=lambda id_: opens[id_])
        free_at = max(free_at, opens[chosen])
        found[chosen] = places[chosen], turn(now, free_at, steps, of)
        free_at += of.middle
        steps += 1
        left.remove(chosen)
    return found


async def tell(tx: Tx, before: Consultation, after: Consultation, cipher: Cipher) -> None:
    """Tell the room and the queue what a consultation now is, and everybody who waits where they now stand."""
    tx.emit(ConsultationChanged(consultation_id=after.id, consultation=after))
    rows = await queries.queue(tx, after.doctor_id, also=after)
    positions = {id_: place for place, id_ in enumerate(order(rows), start=1)}
    shifted = before.is_waiting != after.is_waiting
    pivot = after.checked_in_at if after.is_waiting else before.checked_in_at
    for row in rows:
        id_: ConsultationId = row["consultation_id"]
        moved = shifted and id_ in positions and pivot is not None and row["checked_in_at"] >= pivot
        if id_ == after.id or moved:
            tx.emit(QueueChanged(doctor_id=after.doctor_id, entry=await _entry(tx, row, positions.get(id_), cipher)))
    if positions and (shifted or before.status != after.status):
        lately, slot_seconds = await queries.lately(tx, after.doctor_id)
        for id_, (place, when) in turns(tx.now, rows, pace(tx.now, lately, slot_seconds)).items():
            tx.emit(WaitingPosition(consultation_id=id_, position=place, estimated_start=when.at, sure=when.sure))


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
    lately, slot_seconds = await queries.lately(tx, found.doctor_id)
    place, when = turns(tx.now, rows, pace(tx.now, lately, slot_seconds))[found.id]
    return Place(position=place, estimated_start=when.at, sure=when.sure)


async def first_waiting(tx: Tx, doctor_id: DoctorId) -> list[ConsultationId]:
    """Those who wait for a doctor, by first check-in."""
    return order(await queries.queue(tx, doctor_id))


async def whole_queue(tx: Tx, doctor_id: DoctorId, cipher: Cipher) -> Queue:
    """The queue as one thing."""
    return Queue(entries=await queue_entries(tx, doctor_id, cipher))


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
    )


def _rank(entry: QueueEntry) -> tuple[int, datetime, ConsultationId]:
    if entry.status is Status.ACTIVE:
        return 0, entry.started_at or entry.start_time, entry.consultation_id
    if entry.called_at is not None:
        return 1, entry.called_at, entry.consultation_id
    if entry.checked_in_at is not None:
        return 2, entry.checked_in_at, entry.consultation_id
    return 3, entry.start_time, entry.consultation_id
