"""A freed slot is offered to the first who waits, with a deadline; unanswered or declined, it goes on to the next."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from server.accounts import link_token, token_hash
from server.core.errors import Conflict, NotFound
from server.core.ids import SlotId
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import waitlist_queries as queries
from server.scheduling.events import SlotChanged, SlotOffered
from server.scheduling.rules import bookable, day_is_full
from server.scheduling.waitlist import keep_for_waiters, tell_waiter, wish_of
from server.scheduling.waitlist_models import ByToken, Offer, OfferSlots, OneWish, Wish

# Nobody reads a mail and decides in less.
SHORTEST = timedelta(minutes=2)


class NoOffer(Conflict):
    """Nothing is offered here any more: the time to answer is over, or the offer was answered."""

    code = "no-offer"
    title = "This offer is over."


async def offer_slots(tx: Tx, ask: OfferSlots, *, settings: Settings) -> None:
    """Offer each kept slot to whoever has waited longest for such a one; where there is nobody, it is everybody's.

    A second call changes nothing.
    """
    for slot_id in ask.slot_ids:
        await _offer(tx, slot_id, settings)


async def decline_offer(tx: Tx, ask: OneWish) -> Wish:
    """The next in line is asked; the wish stays, for other slots. Raises NoOffer."""
    offer = await queries.open_offer_of(tx, ask.id)
    if offer is None or not await _end(tx, offer, "declined"):
        raise NoOffer
    return await wish_of(tx, ask.id)


async def decline_by_token(tx: Tx, ask: ByToken) -> Offer:
    """The same, by the link of the mail: good for this offer alone. Raises NoOffer, NotFound."""
    offer = await offer_of_token(tx, ask)
    if offer.ended_at is not None or not await _end(tx, offer, "declined"):
        raise NoOffer
    return offer


async def leave_waitlist(tx: Tx, ask: OneWish) -> Wish:
    """Give up the place; what is offered goes to the next. A second call changes nothing."""
    offer = await queries.open_offer_of(tx, ask.id)
    if offer is not None:
        await _end(tx, offer, "declined")
    await queries.close_wish(tx, ask.id)
    return await wish_of(tx, ask.id)


async def end_due_offers(tx: Tx) -> bool:
    """Offers whose time is over go on to the next in line; True when there may be more."""
    due = await queries.due_offers(tx)
    for offer in due:
        await _end(tx, offer, "expired" if offer.offered_until <= tx.now else "withdrawn")
    for slot_id in await queries.forgotten(tx):
        await _open_to_all(tx, slot_id)
    return len(due) == 20


async def offer_of_token(tx: Tx, ask: ByToken) -> Offer:
    """The offer that a mail's link names, whatever became of it. Raises NotFound."""
    offer = await queries.offer_by_token(tx, token_hash(ask.token))
    if offer is None:
        raise NotFound
    return offer


async def read_offer(tx: Tx, offer_id: UUID) -> Offer:
    """An offer. Raises NotFound."""
    offer = await queries.offer(tx, offer_id)
    if offer is None:
        raise NotFound
    return offer


def deadline(now: datetime, last: datetime, minutes: int) -> datetime | None:
    """Until when an offer stands whose slot can be booked until `last`: a near one leaves the next in line as much.

    None where it is too near to ask anybody.
    """
    lasts = min(timedelta(minutes=minutes), (last - now) / 2)
    return now + lasts if lasts >= SHORTEST else None


async def _offer(tx: Tx, slot_id: SlotId, settings: Settings) -> None:
    slot = await queries.lock_kept(tx, slot_id)
    if slot is None:
        return
    rules = await bookable(tx, slot.doctor_id, settings=settings)
    until = deadline(tx.now, tx.now + (slot.start_time - rules.after), settings.offer_minutes)
    if (
        until is None
        or slot.start_time > rules.until
        or await day_is_full(tx, slot.doctor_id, slot.start_time)
        or (waiter := await queries.first_in_line(tx, slot_id)) is None
    ):
        await _open_to_all(tx, slot_id)
        return
    token = link_token()
    offer_id = await queries.offer_to(tx, slot, waiter, until, token_hash(token))
    tx.emit(SlotOffered(offer_id=offer_id, token=token))
    await tell_waiter(tx, waiter.user_id, waiter.waitlist_id)


async def _end(tx: Tx, offer: Offer, ended_as: str) -> bool:
    # The slot before the offer, as a booking takes them: no deadlock.
    slot = await queries.let_go(tx, offer.slot_id)
    if not await queries.end_offer(tx, offer.id, ended_as):
        return False
    if slot is not None and slot.start_time > tx.now:
        [told] = await keep_for_waiters(tx, [slot])
        if told is slot:
            tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot))
    await tell_waiter(tx, offer.user_id, offer.waitlist_id)
    return True


async def _open_to_all(tx: Tx, slot_id: SlotId) -> None:
    slot = await queries.let_go(tx, slot_id)
    if slot is not None and slot.start_time > tx.now:
        tx.emit(SlotChanged(doctor_id=slot.doctor_id, slot=slot))
