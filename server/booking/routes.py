"""What can be asked of booking."""

from __future__ import annotations

from functools import partial

from server.booking.book import book_slot
from server.booking.cancel import cancel_booking
from server.booking.come_in import walk_in
from server.booking.follow_up import book_follow_up
from server.booking.hand_over import transfer
from server.booking.leave import leave_routes
from server.booking.move import reschedule
from server.booking.problems import (
    BeyondHorizon,
    ConsentWithdrawn,
    DailyLimit,
    DoctorBusy,
    DoctorDayFull,
    NotToBeMoved,
    NotVerified,
    NoWalkIns,
    OtherDoctor,
    PatientBusy,
    SlotPassed,
    SlotTaken,
    TooLate,
)
from server.booking.terms import read_cancellation
from server.consultations import WrongStatus, party_to_consultation, treating_doctor
from server.core.cipher import Cipher
from server.core.errors import Conflict, Invalid, NotFound
from server.core.limits import BOOKING
from server.core.routes import Access, Idempotent, Route, as_doctor, as_patient, get, post, signed_in
from server.core.settings import Settings
from server.core.tx import Role

handing_on = Access(
    "doctor of the consultation, or administrator", frozenset({Role.DOCTOR, Role.ADMIN}), party_to_consultation
)
party = signed_in.and_("party to the consultation", party_to_consultation)


def routes(cipher: Cipher, settings: Settings) -> list[Route]:
    """The lines of booking."""
    return [
        *leave_routes(cipher, settings),
        post(
            "/consultations",
            partial(book_slot, cipher=cipher, settings=settings),
            status=201,
            access=as_patient,
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.AT_ONCE,
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
        get(
            "/consultations/{id}/cancellation",
            partial(read_cancellation, settings=settings),
            access=party,
            scope="booking:read",
            raises=[NotFound],
            tags=["booking"],
        ),
        post(
            "/consultations/{id}/cancel",
            partial(cancel_booking, cipher=cipher, settings=settings),
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
            raises=[
                SlotTaken,
                SlotPassed,
                TooLate,
                BeyondHorizon,
                DoctorDayFull,
                PatientBusy,
                OtherDoctor,
                NotToBeMoved,
                NotFound,
            ],
            tags=["booking"],
        ),
        post(
            "/doctors/{id}/walk-in",
            partial(walk_in, cipher=cipher, settings=settings),
            status=201,
            access=as_patient,
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.REQUIRED,
            raises=[NoWalkIns, DoctorBusy, PatientBusy, DailyLimit, ConsentWithdrawn, NotVerified, NotFound],
            tags=["booking"],
        ),
        post(
            "/consultations/{id}/follow-up",
            partial(book_follow_up, cipher=cipher, settings=settings),
            status=201,
            access=as_doctor.and_("treating doctor of the consultation", treating_doctor),
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.REQUIRED,
            raises=[
                SlotTaken,
                SlotPassed,
                OtherDoctor,
                DoctorBusy,
                PatientBusy,
                WrongStatus,
                ConsentWithdrawn,
                Invalid,
                NotFound,
            ],
            tags=["booking"],
        ),
        post(
            "/consultations/{id}/transfer",
            partial(transfer, cipher=cipher, settings=settings),
            access=handing_on,
            scope="booking:write",
            budget=BOOKING,
            idempotent=Idempotent.REQUIRED,
            raises=[DoctorBusy, PatientBusy, NotToBeMoved, NotFound],
            tags=["booking"],
        ),
    ]
