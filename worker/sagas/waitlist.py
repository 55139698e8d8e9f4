"""The waitlist: slots freed -> offered to the first in line -> told by mail; unanswered, the next is asked.

What ends an offer: its patient's booking (the database closes it with the slot), a no, or the tick that sees its time
over. The last two free the slot again, and the story begins anew.
"""

from __future__ import annotations

from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Tx
from server.doctors import doctor
from server.notifications import Letter, OfferedTime, write_letter
from server.scheduling import OfferSlots, SlotOffered, SlotsFreed, offer_slots, read_offer
from worker.registry import on


@on(SlotsFreed)
async def offer_to_the_first(tx: Tx, event: SlotsFreed, *, settings: Settings) -> None:
    """Find out whose turn it is; where it is nobody's, everybody may book."""
    await offer_slots(tx, OfferSlots(doctor_id=event.doctor_id, slot_ids=event.slot_ids), settings=settings)


@on(SlotOffered)
async def mail_offer(tx: Tx, event: SlotOffered, *, cipher: Cipher, settings: Settings) -> None:
    """Tell the patient what is kept, until when, and where to say yes or no; not once it is over."""
    offer = await read_offer(tx, event.offer_id)
    if offer.ended_at is not None or offer.offered_until <= tx.now:
        return
    found = await doctor(tx, offer.doctor_id)
    letter = Letter(
        kind="slot_offered",
        user_id=offer.user_id,
        cause=f"offered:{offer.id}",
        link=f"{settings.public_url}/waitlist/offer?token={event.token}",
        sms=True,
        valid_until=offer.offered_until,
        offered=OfferedTime(doctor_name=found.name, start_time=offer.start_time, until=offer.offered_until),
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)
