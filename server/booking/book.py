"""A patient books a free slot."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg
from asyncpg import Record

from server.booking import queries
from server.booking.events import ConsultationBooked
from server.booking.models import BookSlot, HeldAlready
from server.booking.problems import (
    BeyondHorizon,
    ConsentWithdrawn,
    DailyLimit,
    NotVerified,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.booking.queries import Opening
from server.consultations import (
    Consultation,
    ConsultationConfirmed,
    ConsultationPayment,
    QueueChanged,
    QueueEntry,
    Status,
    consultation,
)
from server.core.cipher import Cipher, Place
from server.core.errors import NotFound
from server.core.idempotency import judge, take_key
from server.core.ids import SlotId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import PublicSlot, SlotChanged, SlotStatus, bookable_from, next_free_slots

ALTERNATIVES = 5


async def book_slot(tx: Tx, ask: BookSlot, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Book a free slot for the patient who asks; asking is the consent to a teleconsultation, unless withdrawn.

    Of any number of callers at once one gets the slot: the update's own condition decides. Asking again for a slot
    that the patient holds unpaid answers with that consultation (HeldAlready, 200). A free consultation is confirmed
    at once. Raises SlotTaken with `alternatives`, SlotPassed, TooLate, BeyondHorizon, DailyLimit, PatientBusy,
    ConsentWithdrawn, NotVerified; NotFound for a slot that does not exist.
    """
    opening = queries.an_opening(tx, ask.slot_id, settings)
    if ask.reason is not None:
        place = Place("consultations", "reason", opening.consultation_id)
        opening = replace(opening, reason=await cipher.seal(tx, opening.patient_id, place, ask.reason))
    try:
        row = await queries.book(tx, opening, settings)
    except asyncpg.ExclusionViolationError:
        raise PatientBusy from None
    if tx.key is not None:
        judge(tx.key, row, cipher)
    if row["version"] is None:
        if tx.key is not None:
            # The key's first request may have committed between this statement's snapshot and its lock: look again.
            await take_key(tx, cipher)
        return await _answer_a_loser(tx, opening, row, settings)
    booked = _opened(opening, row, tx.now)
    name = await cipher.open(tx, row["user_id"], Place("users", "name", row["user_id"]), row["name"])
    tx.emit(SlotChanged(doctor_id=booked.doctor_id, slot=_slot(ask.slot_id, booked, row["version"])))
    tx.emit(QueueChanged(doctor_id=booked.doctor_id, entry=_entry(tx, booked, name, row["time_zone"])))
    tx.emit(ConsultationBooked(consultation_id=booked.id))
    if booked.confirmed_at is not None:
        tx.emit(ConsultationConfirmed(consultation_id=booked.id))
    return booked


async def _answer_a_loser(tx: Tx, opening: Opening, row: Record, settings: Settings) -> Consultation:
    """Why the statement did nothing; or what the patient holds already."""
    if row["slot_id"] is None or row["user_id"] is None:
        raise NotFound
    if not (row["verified"] or settings.demo):
        raise NotVerified
    if row["consents"] is False:
        raise ConsentWithdrawn
    if row["passed"]:
        raise SlotPassed
    held = await queries.held_unpaid(tx, opening.slot_id, opening.patient_id)
    if held is not None:
        # model_construct: a value that was checked as a Consultation, under its other name.
        return HeldAlready.model_construct(**dict(await consultation(tx, held)))
    if row["slot_status"] == SlotStatus.AVAILABLE:
        if row["too_late"]:
            raise TooLate
        if row["beyond_horizon"]:
            raise BeyondHorizon
        if 0 < settings.bookings_a_day <= row["booked_today"]:
            raise DailyLimit
    after = bookable_from(tx.now, settings)
    raise SlotTaken(alternatives=await next_free_slots(tx, row["doctor_id"], after, ALTERNATIVES))


def _opened(opening: Opening, row: Record, now: datetime) -> Consultation:
    free = row["fee_minor"] == 0
    return Consultation(
        id=opening.consultation_id,
        status=Status.PENDING,
        slot_id=opening.slot_id,
        doctor_id=row["doctor_id"],
        patient_id=opening.patient_id,
        start_time=row["start_time"],
        end_time=row["end_time"],
        meeting_link=opening.meeting_link,
        confirmed_at=now if free else None,
        checked_in_at=None,
        called_at=None,
        started_at=None,
        ended_at=None,
        ended_as=None,
        payment=ConsultationPayment(
            id=opening.payment_id,
            status="captured" if free else "pending",
            amount=row["fee_minor"],
            currency=row["currency"],
            checkout_url=None if free else f"/checkout/{opening.payment_id}",
            expires_at=None if free else opening.expires_at,
        ),
    )


def _slot(slot_id: SlotId, booked: Consultation, version: int) -> PublicSlot:
    return PublicSlot(
        id=slot_id,
        doctor_id=booked.doctor_id,
        start_time=booked.start_time,
        end_time=booked.end_time,
        status=SlotStatus.BOOKED,
        version=version,
    )


def _entry(tx: Tx, booked: Consultation, name: str, zone: str) -> QueueEntry:
    today = tx.now.astimezone(ZoneInfo(zone)).date()
    return QueueEntry(
        consultation_id=booked.id,
        patient_name=name,
        start_time=booked.start_time,
        status=booked.status,
        confirmed_at=booked.confirmed_at,
        checked_in_at=None,
        called_at=None,
        started_at=None,
        position=None,
        listed=booked.confirmed_at is not None and booked.start_time.astimezone(ZoneInfo(zone)).date() == today,
    )
