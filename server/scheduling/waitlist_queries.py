"""SQL of the waitlist: wishes, and the offers of freed slots. An offer's slot row is locked before its wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

from asyncpg import Record

from server.core.ids import DoctorId, PatientId, SlotId, UserId, new_id
from server.core.tx import Tx
from server.scheduling.models import PublicSlot
from server.scheduling.queries import public
from server.scheduling.waitlist_models import Offer, Wish

NOBODY_YET = 0  # no patient's number
_SLOT = "s.id, s.doctor_id, s.start_time, s.end_time, s.status, s.version"
# A wish that a slot could fulfil: in its time, not asked about it before, with no other offer open, and of a patient
# who has neither a consultation then nor one with this doctor in the time of the wish.
_FITS = """
    w.doctor_id = s.doctor_id and w.closed_at is null
    and w.wanted_from <= s.start_time and s.start_time < w.wanted_to
    and not exists (select 1 from waitlist_offers o
                     where o.waitlist_id = w.id and (o.slot_id = s.id or o.ended_at is null))
    and not exists (select 1 from availability_slots b
                     where int8range(b.patient_n, b.patient_n, '[]') && int8range(p.n, p.n, '[]')
                       and b.patient_n is not null
                       and (b.during && s.during
                            or b.doctor_id = w.doctor_id
                               and w.wanted_from <= b.start_time and b.start_time < w.wanted_to))
"""
KEEP_FOR_WAITERS = f"""
    update availability_slots s
       set offered_n = 0, offered_until = $2, version = version + 1
     where s.id = any($1) and s.status = 'AVAILABLE'
       and exists (select 1 from waitlist w join patients p on p.id = w.patient_id where {_FITS})
    returning {_SLOT}
"""  # noqa: S608 - constants
LOCK_KEPT = f"""
    select {_SLOT} from availability_slots s
     where s.id = $1 and s.status = 'AVAILABLE' and s.offered_n = 0 for update
"""  # noqa: S608 - constants
FIRST_IN_LINE = f"""
    select w.id, w.patient_id, p.n as patient_n, p.user_id
      from availability_slots s
      join waitlist w on w.doctor_id = s.doctor_id
      join patients p on p.id = w.patient_id
      join users u on u.id = p.user_id and u.disabled_at is null
     where s.id = $1 and {_FITS}
     order by w.created_at, w.id limit 1
       for update of w skip locked
"""  # noqa: S608 - constants
OFFER_TO = f"""
    update availability_slots s set offered_n = $2, offered_until = $3, version = version + 1
     where s.id = $1 returning {_SLOT}
"""  # noqa: S608 - constants
# Only while nobody took it: the booking of the one who was asked ends the offer itself.
LET_GO = f"""
    update availability_slots s set offered_n = null, offered_until = null, version = version + 1
     where s.id = $1 and s.offered_n is not null and s.status = 'AVAILABLE'
    returning {_SLOT}
"""  # noqa: S608 - constants
ADD_OFFER = """
    insert into waitlist_offers (id, waitlist_id, patient_id, slot_id, start_time, end_time, token_hash, offered_at,
                                 offered_until)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
END_OFFER = """
    update waitlist_offers set ended_at = $2, ended_as = $3 where id = $1 and ended_at is null returning id
"""
_OFFER = """
    select o.id, o.waitlist_id, w.doctor_id, o.patient_id, p.n as patient_n, p.user_id, o.slot_id, o.start_time,
           o.end_time, o.offered_until, o.ended_at, o.ended_as
      from waitlist_offers o
      join waitlist w on w.id = o.waitlist_id
      join patients p on p.id = o.patient_id
"""
READ_OFFER = _OFFER + "where o.id = $1"
OFFER_BY_TOKEN = _OFFER + "where o.token_hash = $1"
OPEN_OFFER_OF = _OFFER + "where o.waitlist_id = $1 and o.ended_at is null"
DUE_OFFERS = (
    _OFFER
    + """
      left join availability_slots s on s.id = o.slot_id
     where o.ended_at is null and (o.offered_until <= $1 or s.offered_n is null)
     order by o.offered_until limit 20
"""
)
# What a worker that was killed in the middle leaves behind.
FORGOTTEN = """
    select id from availability_slots
     where offered_n = 0 and offered_until <= $1 and status = 'AVAILABLE' and start_time > $1 limit 20
"""
JOIN = """
    insert into waitlist (id, patient_id, doctor_id, wanted_from, wanted_to, created_at)
    select $1, $2, d.id, $4, $5, $6 from doctors d where d.id = $3 and d.verified_at is not null
    returning id
"""
# One patient's wishes are counted one after the other: the advisory lock is the patient's.
HOLD_WISHES = "select pg_advisory_xact_lock(hashtextextended('waitlist|' || $1, 0))"
_WISH = """
    select w.id, w.doctor_id, w.patient_id, w.wanted_from, w.wanted_to, w.closed_at, o.slot_id as offered_slot_id,
           o.start_time as offered_start_time, o.end_time as offered_end_time, o.offered_until
      from waitlist w left join waitlist_offers o on o.waitlist_id = w.id and o.ended_at is null
"""
WISHES = _WISH + "where w.patient_id = $1 and w.closed_at is null and w.wanted_to > $2 order by w.created_at, w.id"
WISH = _WISH + "where w.id = $1"
CLOSE_WISH = "update waitlist set closed_at = $2 where id = $1 and closed_at is null"


@dataclass(frozen=True, slots=True)
class Waiter:
    """Whose turn it is."""

    waitlist_id: UUID
    patient_id: PatientId
    patient_n: int
    user_id: UserId


def _offer(row: Record | None) -> Offer | None:
    return Offer.model_validate(dict(row)) if row else None


def _wish(row: Record) -> Wish:
    names = {"wanted_from": "from_time", "wanted_to": "to_time"}
    return Wish(**{names.get(name, name): value for name, value in row.items() if name != "patient_id"})


async def keep_for_waiters(tx: Tx, slot_ids: Sequence[SlotId], for_: timedelta) -> list[PublicSlot]:
    """Keep those of these free slots that somebody waits for, until it is found out who."""
    return [public(row) for row in await tx.conn.fetch(KEEP_FOR_WAITERS, list(slot_ids), tx.now + for_)]


async def lock_kept(tx: Tx, slot_id: SlotId) -> PublicSlot | None:
    """A slot that is kept and offered to nobody yet, held until the transaction ends."""
    row = await tx.conn.fetchrow(LOCK_KEPT, slot_id)
    return public(row) if row else None


async def first_in_line(tx: Tx, slot_id: SlotId) -> Waiter | None:
    """Who has waited longest for such a slot; held until the transaction ends."""
    row = await tx.conn.fetchrow(FIRST_IN_LINE, slot_id)
    return Waiter(row["id"], row["patient_id"], row["patient_n"], row["user_id"]) if row else None


async def offer_to(tx: Tx, slot: PublicSlot, waiter: Waiter, until: datetime, token_hash: bytes) -> UUID:
    """Keep the slot for this one; the offer's id."""
    offer_id = new_id(tx.now)
    await tx.conn.fetchrow(OFFER_TO, slot.id, waiter.patient_n, until)
    await tx.conn.execute(
        ADD_OFFER,
        offer_id,
        waiter.waitlist_id,
        waiter.patient_id,
        slot.id,
        slot.start_time,
        slot.end_time,
        token_hash,
        tx.now,
        until,
    )
    return offer_id


async def let_go(tx: Tx, slot_id: SlotId) -> PublicSlot | None:
    """Keep the slot for nobody any more; None where it is taken or gone."""
    row = await tx.conn.fetchrow(LET_GO, slot_id)
    return public(row) if row else None


async def end_offer(tx: Tx, offer_id: UUID, ended_as: str) -> bool:
    """Close an offer; False if it was."""
    return await tx.conn.fetchval(END_OFFER, offer_id, tx.now, ended_as) is not None


async def offer(tx: Tx, offer_id: UUID) -> Offer | None:
    """An offer."""
    return _offer(await tx.conn.fetchrow(READ_OFFER, offer_id))


async def offer_by_token(tx: Tx, token_hash: bytes) -> Offer | None:
    """The offer of a mail's link."""
    return _offer(await tx.conn.fetchrow(OFFER_BY_TOKEN, token_hash))


async def open_offer_of(tx: Tx, waitlist_id: UUID) -> Offer | None:
    """What a wish is offered now."""
    return _offer(await tx.conn.fetchrow(OPEN_OFFER_OF, waitlist_id))


async def due_offers(tx: Tx) -> list[Offer]:
    """Offers whose time is over, or whose slot is gone, at most twenty."""
    return [Offer.model_validate(dict(row)) for row in await tx.conn.fetch(DUE_OFFERS, tx.now)]


async def forgotten(tx: Tx) -> list[SlotId]:
    """Slots that were kept for whoever waits, and that nobody was found for in time."""
    return [row["id"] for row in await tx.conn.fetch(FORGOTTEN, tx.now)]


async def join(tx: Tx, patient_id: PatientId, doctor_id: DoctorId, first: datetime, last: datetime) -> UUID | None:
    """Keep a wish; None without such a listed doctor."""
    return cast("UUID | None", await tx.conn.fetchval(JOIN, new_id(tx.now), patient_id, doctor_id, first, last, tx.now))


async def hold_wishes(tx: Tx, patient_id: PatientId) -> None:
    """Let nobody else change how many wishes this patient has."""
    await tx.conn.execute(HOLD_WISHES, str(patient_id))


async def open_wishes(tx: Tx, patient_id: PatientId) -> list[Wish]:
    """A patient's wishes that can still come true."""
    return [_wish(row) for row in await tx.conn.fetch(WISHES, patient_id, tx.now)]


async def wish(tx: Tx, waitlist_id: UUID) -> tuple[Wish, PatientId] | None:
    """A wish, and whose it is."""
    row = await tx.conn.fetchrow(WISH, waitlist_id)
    return (_wish(row), row["patient_id"]) if row else None


async def close_wish(tx: Tx, waitlist_id: UUID) -> None:
    """Nothing more is offered for this wish."""
    await tx.conn.execute(CLOSE_WISH, waitlist_id, tx.now)
