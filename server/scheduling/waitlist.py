"""The waitlist: a patient says when a slot would be welcome, and a slot that comes free is kept for those who wait."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from server.core.errors import Conflict, FieldError, Invalid, NotFound
from server.core.models import Nothing
from server.core.tx import Tx
from server.scheduling import waitlist_queries as queries
from server.scheduling.events import SlotsFreed, WaitlistChanged
from server.scheduling.models import PublicSlot, SlotStatus
from server.scheduling.waitlist_models import JoinWaitlist, OneWish, Wish, Wishes

MOST_WISHES = 20
LONGEST = timedelta(days=366)
# Time for the worker to find out whose turn it is; after that anybody may book, worker or not.
KEPT = timedelta(seconds=60)


class TooManyWishes(Conflict):
    """A patient waits for at most twenty things at once."""

    code = "too-many-wishes"
    title = "You are on many waitlists already."


class NamesWish(Protocol):
    """An ask whose address names the wish."""

    @property
    def id(self) -> UUID: ...


async def is_own_wish(tx: Tx, ask: NamesWish) -> None:
    """Only the patient who waits. Raises NotFound."""
    found = await queries.wish(tx, ask.id)
    if found is None or tx.actor.patient_id is None or found[1] != tx.actor.patient_id:
        raise NotFound


async def join_waitlist(tx: Tx, ask: JoinWaitlist) -> Wish:
    """Keep the wish; the same wish again is the same place. What is free now is not offered: it can be booked.

    Raises Invalid for a time that is over, upside down or longer than a year, NotFound for an unlisted doctor,
    TooManyWishes.
    """
    assert tx.actor.patient_id is not None
    if ask.to_time <= max(ask.from_time, tx.now):
        raise Invalid(
            errors=[FieldError(field="to", code="order", message="This time ends before it begins, or is over.")]
        )
    if ask.to_time - ask.from_time > LONGEST:
        raise Invalid(errors=[FieldError(field="to", code="too-long", message="At most a year at a time.")])
    await queries.hold_wishes(tx, tx.actor.patient_id)
    wishes = await queries.open_wishes(tx, tx.actor.patient_id)
    for wish in wishes:
        if (wish.doctor_id, wish.from_time, wish.to_time) == (ask.doctor_id, ask.from_time, ask.to_time):
            return wish
    if len(wishes) >= MOST_WISHES:
        raise TooManyWishes
    wish_id = await queries.join(tx, tx.actor.patient_id, ask.doctor_id, ask.from_time, ask.to_time)
    if wish_id is None:
        raise NotFound
    return await wish_of(tx, wish_id)


async def list_wishes(tx: Tx, ask: Nothing) -> Wishes:
    """The wishes of the patient who asks that can still come true, oldest first."""
    assert tx.actor.patient_id is not None
    return Wishes(items=await queries.open_wishes(tx, tx.actor.patient_id))


async def wish_of(tx: Tx, wish_id: UUID) -> Wish:
    """A wish as it is. Raises NotFound."""
    found = await queries.wish(tx, wish_id)
    if found is None:
        raise NotFound
    return found[0]


async def keep_for_waiters(tx: Tx, slots: Sequence[PublicSlot]) -> list[PublicSlot]:
    """Of slots that have just come free: those that somebody waits for are kept, and the worker asks who comes first.

    Returns all of them as everybody may see them now: a kept one is told as BOOKED. Before anybody could book it.
    """
    if not slots:
        return []
    kept = {slot.id: slot for slot in await queries.keep_for_waiters(tx, [slot.id for slot in slots], KEPT)}
    if kept:
        tx.emit(SlotsFreed(doctor_id=slots[0].doctor_id, slot_ids=list(kept)))
    return [as_taken(kept[slot.id]) if slot.id in kept else slot for slot in slots]


def as_taken(slot: PublicSlot) -> PublicSlot:
    """A slot that is kept for somebody, as everybody else sees it."""
    return slot.model_copy(update={"status": SlotStatus.BOOKED})


async def tell_waiter(tx: Tx, user_id: UUID, wish_id: UUID) -> None:
    """Tell the patient's own room what the wish now is."""
    tx.emit(WaitlistChanged(user_id=user_id, wish=await wish_of(tx, wish_id)))


__all__ = [
    "OneWish",
    "TooManyWishes",
    "as_taken",
    "is_own_wish",
    "join_waitlist",
    "keep_for_waiters",
    "list_wishes",
    "tell_waiter",
    "wish_of",
]
