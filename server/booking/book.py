"""A patient books a free slot."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from asyncpg import Record

from server.booking import queries
from server.booking.daily_limit import day_began
from server.booking.events import ConsultationBooked
from server.booking.models import BookSlot, HeldAlready
from server.booking.problems import (
    BeyondHorizon,
    ConsentWithdrawn,
    DoctorDayFull,
    NotVerified,
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
from server.core.idempotency import answer_again
from server.core.ids import ConsultationId, PaymentId, SlotId, new_id
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import HOUSE, PaymentOrderDue, hold_until
from server.scheduling import PublicSlot, SlotChanged, SlotStatus, next_free_slots, takes_place

ALTERNATIVES = 5


async def book_slot(tx: Tx, ask: BookSlot, *, cipher: Cipher, settings: Settings) -> Consultation:
    """Book a free slot for the patient who asks; asking is the consent to a teleconsultation, unless withdrawn.

    It acts at once: a look, then one write whose condition decides among any number of callers. Asking again for a
    slot that the patient holds unpaid answers with that consultation (HeldAlready, 200). A free consultation is
    confirmed at once. Raises SlotTaken with `alternatives`, SlotPassed, TooLate, BeyondHorizon, DailyLimit,
    DoctorDayFull, PatientBusy, ConsentWithdrawn, NotVerified; NotFound for a slot that does not exist.
    """
    found = await queries.look(tx, ask.slot_id)
    if tx.key is not None:
        answer_again(tx.key, found, cipher)
    _refuse(found, tx.now, settings)
    if not _is_free(found):
        return await _answer_a_loser(tx, ask.slot_id, found, settings)
    if found["daily_limit"] is not None:
        await tx.begin()
        if not await takes_place(tx, found["doctor_id"], ask.slot_id, found["start_time"]):
            raise DoctorDayFull
    opening = await _opening(tx, ask, found, cipher, settings)
    booked = _opened(opening)
    name = await cipher.open(tx, found["user_id"], Place("users", "name", found["user_id"]), found["name"])
    queries.book(tx, opening)
    tx.emit(SlotChanged(doctor_id=booked.doctor_id, slot=_slot(ask.slot_id, booked, opening.version + 1)))
    tx.emit(QueueChanged(doctor_id=booked.doctor_id, entry=_entry(tx, booked, name, found["time_zone"])))
    tx.emit(ConsultationBooked(consultation_id=booked.id))
    if opening.provider_order is None and not opening.free:
        tx.emit(PaymentOrderDue(consultation_id=booked.id))
    if booked.confirmed_at is not None:
        tx.emit(ConsultationConfirmed(consultation_id=booked.id))
    return booked


def _is_free(found: Record) -> bool:
    """Whether the slot can be had by this patient: free, and not kept for somebody who waits."""
    return found["slot_status"] == SlotStatus.AVAILABLE and not found["kept"]


def _refuse(found: Record, now: datetime, settings: Settings) -> None:
    """What waiting would not change."""
    if found["slot_id"] is None or found["user_id"] is None:
        raise NotFound
    if not (found["verified"] or settings.demo):
        raise NotVerified
    if found["consents"] is False:
        raise ConsentWithdrawn
    begins: datetime = found["start_time"]
    if begins <= now:
        raise SlotPassed
    if found["slot_status"] == SlotStatus.AVAILABLE:
        if begins <= now + timedelta(minutes=max(settings.lead, found["lead_minutes"])):
            raise TooLate
        if begins > now + timedelta(days=found["horizon_days"]):
            raise BeyondHorizon


async def _answer_a_loser(tx: Tx, slot_id: SlotId, found: Record, settings: Settings) -> Consultation:
    """What the patient holds already, or what else is free."""
    if found["patient_n"] == tx.actor.patient_n and tx.actor.patient_id is not None:
        await tx.begin()
        held = await queries.held_unpaid(tx, slot_id, tx.actor.patient_id)
        if held is not None:
            # model_construct: a value that was checked as a Consultation, under its other name.
            return HeldAlready.model_construct(**dict(await consultation(tx, held)))
    after = tx.now + timedelta(minutes=max(settings.lead, found["lead_minutes"]))
    raise SlotTaken(alternatives=await next_free_slots(tx, found["doctor_id"], after, ALTERNATIVES))


async def _opening(tx: Tx, ask: BookSlot, found: Record, cipher: Cipher, settings: Settings) -> Opening:
    """All that is to be written: ids made, the reason sealed."""
    assert tx.actor.patient_id is not None
    assert tx.actor.patient_n is not None
    free = found["fee_minor"] == 0
    consultation_id = ConsultationId(new_id(tx.now))
    reason = None
    if ask.reason is not None:
        place = Place("consultations", "reason", consultation_id)
        reason = await cipher.seal(tx, tx.actor.patient_id, place, ask.reason)
    return Opening(
        now=tx.now,
        slot_id=ask.slot_id,
        version=found["version"],
        doctor_id=found["doctor_id"],
        start_time=found["start_time"],
        end_time=found["end_time"],
        fee_minor=found["fee_minor"],
        currency=found["currency"],
        patient_id=tx.actor.patient_id,
        patient_n=tx.actor.patient_n,
        language=found["language"],
        provider=HOUSE if free else settings.gateway,
        meeting_link=f"{settings.public_url}/consultations/{consultation_id}",
        reason=reason,
        consultation_id=consultation_id,
        payment_id=PaymentId(new_id(tx.now)),
        entry_id=new_id(tx.now) if free else None,
        consent_id=new_id(tx.now) if found["consents"] is None else None,
        expires_at=None if free else hold_until(tx.now, settings),
        a_day=settings.bookings_a_day,
        day_began=day_began(tx.now, tx.actor.time_zone),
    )


def _opened(opening: Opening) -> Consultation:
    return Consultation(
        id=opening.consultation_id,
        status=Status.PENDING,
        slot_id=opening.slot_id,
        doctor_id=opening.doctor_id,
        patient_id=opening.patient_id,
        start_time=opening.start_time,
        end_time=opening.end_time,
        meeting_link=opening.meeting_link,
        confirmed_at=opening.confirmed_at,
        checked_in_at=None,
        called_at=None,
        started_at=None,
        ended_at=None,
        ended_as=None,
        payment=ConsultationPayment(
            id=opening.payment_id,
            status=opening.payment_status,
            amount=opening.fee_minor,
            currency=opening.currency,
            checkout_url=None if opening.free else f"/checkout/{opening.payment_id}",
            expires_at=opening.expires_at,
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
        listed=booked.confirmed_at is not None and _is_today(booked.start_time, tx.now, ZoneInfo(zone)),
    )


def _is_today(at: datetime, now: datetime, zone: ZoneInfo) -> bool:
    return at.astimezone(zone).date() == now.astimezone(zone).date()
