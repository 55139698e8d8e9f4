"""A doctor's leave: free slots go with it and come back without it; booked ones stay until someone decides."""

from __future__ import annotations

from server.core.errors import FieldError, Invalid, NotFound
from server.core.ids import DoctorId, new_id
from server.core.settings import Settings
from server.core.tx import Tx
from server.scheduling import calendar_queries, queries
from server.scheduling.make import Fitted, announce, fit_slots
from server.scheduling.models import (
    BookedSlot,
    FromTo,
    KeepLeave,
    Leave,
    LeaveEnded,
    LeaveKept,
    Leaves,
    OfCalendar,
    OneLeave,
    SlotStatus,
)
from server.scheduling.rules import tell_days
from server.scheduling.slots import Span


async def keep_leave(tx: Tx, ask: KeepLeave) -> LeaveKept:
    """Keep leave and withdraw the free slots that touch it. The same leave again is the one that there is.

    Raises Invalid when it ends before it begins, or has ended.
    """
    refuse_time(tx, ask)
    if await calendar_queries.calendar(tx, ask.id, locked=True) is None:
        raise NotFound
    span = Span(ask.from_time, ask.to_time)
    leave_id = await calendar_queries.same_leave(tx, ask.id, span)
    if leave_id is None:
        leave_id = new_id(tx.now)
        await calendar_queries.add_leave(tx, leave_id, ask.id, span)
    inside = await queries.slots_inside(tx, ask.id, span, tx.now)
    withdrawn = await queries.withdraw(tx, [slot.id for slot in inside if slot.status is SlotStatus.AVAILABLE])
    announce(tx, Fitted(made=[], withdrawn=withdrawn))
    return LeaveKept(
        id=leave_id,
        from_time=ask.from_time,
        to_time=ask.to_time,
        booked=await booked_inside(tx, ask.id, span),
        slots_withdrawn=len(withdrawn),
    )


async def list_leave(tx: Tx, ask: OfCalendar) -> Leaves:
    """The leave of a doctor that has not ended, each with what is booked in it."""
    return Leaves(
        items=[
            Leave(**dict(away), booked=await booked_inside(tx, ask.id, Span(away.from_time, away.to_time)))
            for away in await calendar_queries.leave_after(tx, ask.id, tx.now)
        ]
    )


async def end_leave(tx: Tx, ask: OneLeave, *, settings: Settings) -> LeaveEnded:
    """Take leave back: the slots of what is left of it come back. Raises NotFound."""
    calendar = await calendar_queries.calendar(tx, ask.id, locked=True)
    if calendar is None or await calendar_queries.end_leave(tx, ask.id, ask.leave_id) is None:
        raise NotFound
    fitted = await fit_slots(tx, ask.id, settings.slots_days_ahead)
    announce(tx, fitted)
    await tell_days(tx, ask.id, calendar.daily_limit)
    return LeaveEnded(id=ask.leave_id, slots_made=len(fitted.made))


async def booked_inside(tx: Tx, doctor_id: DoctorId, span: Span) -> list[BookedSlot]:
    """The booked slots that touch a time and are not over, soonest first."""
    return [
        BookedSlot(
            slot_id=slot.id,
            consultation_id=slot.consultation_id,
            start_time=slot.start_time,
            end_time=slot.end_time,
        )
        for slot in await queries.slots_inside(tx, doctor_id, span, tx.now)
        if slot.consultation_id is not None
    ]


def refuse_time(tx: Tx, ask: FromTo) -> None:
    """Refuse a time that is upside down or over. Raises Invalid."""
    if ask.to_time <= ask.from_time:
        raise Invalid(errors=[FieldError(field="to", code="order", message="It must end after it begins.")])
    if ask.to_time <= tx.now:
        raise Invalid(errors=[FieldError(field="to", code="past", message="This time is over.")])
