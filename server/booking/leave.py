"""A doctor takes leave with consultations booked inside: kept, cancelled with everything back, or moved to after it."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Literal

from server.booking.cancel import cancel_booking
from server.booking.models import CancelBooking, Reschedule
from server.booking.move import reschedule
from server.booking.problems import DoctorDayFull, PatientBusy, SlotTaken
from server.consultations import Status, consultation
from server.core.cipher import Cipher
from server.core.errors import Conflict, Invalid, NotFound
from server.core.ids import DoctorId
from server.core.models import Instant
from server.core.privacy import Level
from server.core.routes import Route, post
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.scheduling import (
    BookedSlot,
    FromTo,
    KeepLeave,
    LeaveKept,
    PublicSlot,
    Span,
    Stretch,
    booked_inside,
    keep_leave,
    next_free_slots,
    own_calendar,
)

TRIES = 12  # free slots that a patient may be busy at before the consultation is left where it is
Choice = Annotated[Literal["refuse", "keep", "cancel", "move"], Level.PUBLIC]
Outcome = Annotated[Literal["kept", "cancelled", "moved", "left"], Level.PUBLIC]


class LeaveHasConsultations(Conflict):
    """Patients have booked in this time: say whether they keep it, are cancelled, or move to after the leave."""

    code = "leave-has-consultations"
    title = "There are consultations in this time."


class TakeLeave(FromTo):
    """From one instant to another, the end not included, and what becomes of the consultations inside."""

    booked: Choice = "keep"


class BookedInside(BookedSlot):
    """A consultation inside the leave, and what became of it; `left` is what could be neither cancelled nor moved."""

    outcome: Outcome
    moved_to: Instant | None = None


class LeaveTaken(Stretch):
    """Leave as it stands, the free slots that it took back, and what was booked inside when it was taken."""

    slots_withdrawn: int
    booked_inside: int
    booked: list[BookedInside]


async def take_leave(run: Run, ask: TakeLeave, *, cipher: Cipher, settings: Settings) -> LeaveTaken:
    """Keep leave; free slots in it go at once, and then each consultation inside in a transaction of its own.

    Cancelled is as by the doctor: everything comes back. Moved is to the doctor's next free slot after the leave that
    the patient has time for, by the rules of any move. The same call again goes on with what is still inside.
    Raises Invalid for a time that is upside down or over; LeaveHasConsultations with `consultations` where `refuse`
    is asked and there are some, and then nothing is kept.
    """
    kept = await run(_keep if ask.booked != "refuse" else _keep_if_empty, ask)
    booked: list[BookedInside] = []
    for inside in kept.booked:
        match ask.booked:
            case "cancel":
                booked.append(await _cancel(run, inside, cipher, settings))
            case "move":
                booked.append(await _move(run, ask.id, inside, ask.to_time, cipher, settings))
            case "keep" | "refuse":
                booked.append(BookedInside(**dict(inside), outcome="kept"))
    return LeaveTaken(
        id=kept.id,
        from_time=kept.from_time,
        to_time=kept.to_time,
        slots_withdrawn=kept.slots_withdrawn,
        booked_inside=sum(inside.outcome in ("kept", "left") for inside in booked),
        booked=booked,
    )


async def inside_leave(tx: Tx, ask: FromTo) -> list[BookedSlot]:
    """What is booked in a time and still to come or under way, soonest first."""
    return await _live(tx, await booked_inside(tx, ask.id, Span(ask.from_time, ask.to_time)))


async def _keep(tx: Tx, ask: TakeLeave) -> LeaveKept:
    kept = await keep_leave(tx, KeepLeave(id=ask.id, from_time=ask.from_time, to_time=ask.to_time))
    return kept.model_copy(update={"booked": await _live(tx, kept.booked)})


async def _keep_if_empty(tx: Tx, ask: TakeLeave) -> LeaveKept:
    kept = await _keep(tx, ask)
    if kept.booked:
        raise LeaveHasConsultations(consultations=kept.booked)
    return kept


async def _live(tx: Tx, booked: list[BookedSlot]) -> list[BookedSlot]:
    """Those that are neither over nor cancelled."""
    open_ones = (Status.PENDING, Status.ACTIVE)
    return [held for held in booked if (await consultation(tx, held.consultation_id)).status in open_ones]


async def _cancel(run: Run, inside: BookedSlot, cipher: Cipher, settings: Settings) -> BookedInside:
    try:
        await run(partial(cancel_booking, cipher=cipher, settings=settings), CancelBooking(id=inside.consultation_id))
    except Conflict:  # under way, or over since
        return BookedInside(**dict(inside), outcome="left")
    return BookedInside(**dict(inside), outcome="cancelled")


async def _move(
    run: Run, doctor_id: DoctorId, inside: BookedSlot, leave_ends: datetime, cipher: Cipher, settings: Settings
) -> BookedInside:
    async def free_after(tx: Tx, last_tried: datetime) -> list[PublicSlot]:
        return await next_free_slots(tx, doctor_id, last_tried, TRIES)

    # The first slot may begin in the moment in which the leave ends.
    for slot in await run.read(free_after, leave_ends - timedelta(microseconds=1)):
        ask = Reschedule(id=inside.consultation_id, slot_id=slot.id)
        try:
            moved = await run(partial(reschedule, cipher=cipher, settings=settings), ask)
        except (SlotTaken, PatientBusy, DoctorDayFull, NotFound):
            continue
        except Conflict:  # called, under way or over since; or no slot is bookable by the rules of now
            break
        return BookedInside(**dict(inside), outcome="moved", moved_to=moved.start_time)
    return BookedInside(**dict(inside), outcome="left")


def leave_routes(cipher: Cipher, settings: Settings) -> list[Route]:
    """The line of leave."""
    return [
        post(
            "/doctors/{id}/leave",
            partial(take_leave, cipher=cipher, settings=settings),
            status=201,
            access=own_calendar,
            raises=[Invalid, NotFound, LeaveHasConsultations],
            tags=["scheduling"],
        )
    ]
