"""The waitlist: a patient says when a slot would be welcome."""

from __future__ import annotations

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import new_id
from server.core.models import Nothing
from server.core.tx import Tx
from server.scheduling import queries
from server.scheduling.models import JoinWaitlist, Wish, Wishes


async def join_waitlist(tx: Tx, ask: JoinWaitlist) -> Wish:
    """Keep the wish. Raises Invalid for a time that is over or upside down, NotFound for an unlisted doctor."""
    assert tx.actor.patient_id is not None
    if ask.to_time <= max(ask.from_time, tx.now):
        raise Invalid(
            errors=[FieldError(field="to", code="order", message="This time ends before it begins, or is over.")]
        )
    wish = await queries.join(tx, new_id(tx.now), tx.actor.patient_id, ask.doctor_id, ask.from_time, ask.to_time)
    if wish is None:
        raise NotFound
    return wish


async def list_wishes(tx: Tx, ask: Nothing) -> Wishes:
    """The wishes of the patient who asks that can still come true, oldest first."""
    assert tx.actor.patient_id is not None
    return Wishes(items=await queries.open_wishes(tx, tx.actor.patient_id))
