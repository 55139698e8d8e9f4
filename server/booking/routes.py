"""What can be asked of booking."""

from __future__ import annotations

from functools import partial

from server.booking.book import book_slot
from server.booking.cancel import cancel_booking
from server.booking.move import reschedule
from server.booking.problems import (
    BeyondHorizon,
    ConsentWithdrawn,
    DailyLimit,
    NotToBeMoved,
    NotVerified,
    OtherDoctor,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.consultations import party_to_consultation
from server.core.cipher import Cipher
from server.core.errors import Conflict, NotFound
from server.core.limits import BOOKING
from server.core.routes import Idempotent, Route, as_patient, post, signed_in
from server.core.settings import Settings

party = signed_in.and_("party to the consultation", party_to_consultation)


def routes(cipher: Cipher, settings: Settings) -> list[Route]:
    """The lines of booking."""
    return [
        post(
            "/consultations",
            partial(book_slot, cipher=cipher, settings=settings),
            status=201,
            access=as_patient,
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.INSIDE,
            lock="slot:{slot_id}",
            raises=[
                SlotTaken,
                SlotPassed,
                TooLate,
                BeyondHorizon,
                DailyLimit,
                PatientBusy,
                ConsentWithdrawn,
                NotVerified,
                NotFound,
            ],
            tags=["booking"],
        ),
        post(
            "/consultations/{id}/cancel",
            partial(cancel_booking, cipher=cipher),
            access=party,
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.REQUIRED,
            raises=[Conflict, NotFound],
            tags=["booking"],
        ),
        post(
            "/consultations/{id}/reschedule",
            partial(reschedule, cipher=cipher, settings=settings),
            access=party,
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.REQUIRED,
            lock="slot:{slot_id}",
            raises=[SlotTaken, SlotPassed, TooLate, BeyondHorizon, PatientBusy, OtherDoctor, NotToBeMoved, NotFound],
            tags=["booking"],
        ),
    ]
