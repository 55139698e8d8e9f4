"""Anything in any order: book, pay, cancel, move, wait, take leave, let time pass; after each step the books agree."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from server.booking import (
    BookSlot,
    CancelBooking,
    Reschedule,
    TakeLeave,
    WalkIn,
    book_slot,
    cancel_booking,
    cancellation,
    reschedule,
    take_leave,
    walk_in,
)
from server.consultations import consultation
from server.core.errors import Problem
from server.core.ids import ConsultationId, PatientId, PaymentId, SlotId
from server.core.tx import Actor, Role, Tx
from server.payments import PayInSandbox, pay_in_sandbox, verifier
from server.scheduling import (
    JoinWaitlist,
    OneLeave,
    OneWish,
    decline_offer,
    end_leave,
    join_waitlist,
    leave_waitlist,
)
from tests.clinic import SLOTS, WRONG, WRONG_AT_REST, World
from tests.conftest import Services

R = TypeVar("R")


class Clinic(RuleBasedStateMachine):
    """People who do everything at the wrong moment."""

    services: Services
    loop: asyncio.AbstractEventLoop
    world: World

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        self.world = self.run(World.open(self.services))
        self.cipher = self.world.database.cipher

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.run(self.world.work())
                assert self.run(self.world.wrong({**WRONG, **WRONG_AT_REST})) == []
            finally:
                self.run(self.world.stack.aclose())

    @rule(who=st.integers(0, 2), slot=st.integers(0, 2 * SLOTS - 1))
    def book(self, who: int, slot: int) -> None:
        ask = BookSlot(slot_id=self.world.slots[slot % len(self.world.slots)])
        book = partial(book_slot, ask=ask, cipher=self.cipher, settings=self.world.settings)
        self._remember(self.run(self.world.act(self.world.patients[who], book, at_once=True)))

    @rule(who=st.integers(0, 2), doctor=st.integers(0, 1))
    def come_without_an_appointment(self, who: int, doctor: int) -> None:
        doctor_id = self.world.doctors[doctor].doctor_id
        assert doctor_id is not None
        come = partial(walk_in, ask=WalkIn(id=doctor_id), cipher=self.cipher, settings=self.world.settings)
        self._remember(self.run(self.world.act(self.world.patients[who], come)))

    @rule(index=st.integers(0, 20), paid=st.booleans(), reorder=st.booleans())
    def pay(self, index: int, paid: bool, reorder: bool) -> None:
        if self.world.booked:
            self.run(self._pay(self.world.booked[index % len(self.world.booked)], paid=paid, reorder=reorder))

    @rule(who=st.integers(0, 2), slot=st.integers(0, 2 * SLOTS - 1))
    def book_and_pay(self, who: int, slot: int) -> None:
        self.book(who, slot)
        if self.world.booked:
            self.run(self._pay(self.world.booked[-1], paid=True, reorder=False))

    @rule(who=st.integers(0, 2), index=st.integers(0, 20))
    def wait_for_what_another_has(self, who: int, index: int) -> None:
        if self.world.booked:
            self.run(self._wait(who, self.world.booked[index % len(self.world.booked)]))

    @rule(index=st.integers(0, 20), by=st.sampled_from(["patient", "doctor", "admin"]))
    def cancel(self, index: int, by: str) -> None:
        if self.world.booked:
            self.run(self._cancel(self.world.booked[index % len(self.world.booked)], by))

    @rule(index=st.integers(0, 20), slot=st.integers(0, 2 * SLOTS - 1))
    def move(self, index: int, slot: int) -> None:
        if self.world.booked:
            self.run(self._move(self.world.booked[index % len(self.world.booked)], slot))

    @rule(doctor=st.integers(0, 1), slot=st.integers(0, SLOTS - 1), choice=st.sampled_from(["keep", "cancel", "move"]))
    def take_leave(self, doctor: int, slot: int, choice: str) -> None:
        self.run(self._take_leave(doctor, slot, choice))

    @rule(index=st.integers(0, 5))
    def end_leave(self, index: int) -> None:
        if self.world.leave:
            actor, leave_id = self.world.leave.pop(index % len(self.world.leave))
            assert actor.doctor_id is not None
            end = partial(end_leave, ask=OneLeave(id=actor.doctor_id, leave_id=leave_id), settings=self.world.settings)
            self.run(self.world.act(actor, end))

    @rule(who=st.integers(0, 2), slot=st.integers(0, 2 * SLOTS - 1))
    def wait_for(self, who: int, slot: int) -> None:
        doctor_id, begins, ends = self.world.times[slot % len(self.world.times)]
        actor = self.world.patients[who]
        ask = JoinWaitlist(doctor_id=doctor_id, from_time=begins, to_time=ends)
        wish = self.run(self.world.act(actor, partial(join_waitlist, ask=ask)))
        if wish is not None:
            self.world.wishes.append((actor, wish.id))

    @rule(index=st.integers(0, 20), gone=st.booleans())
    def say_no(self, index: int, gone: bool) -> None:
        if self.world.wishes:
            actor, wish_id = self.world.wishes[index % len(self.world.wishes)]
            self.run(self.world.act(actor, partial(leave_waitlist if gone else decline_offer, ask=OneWish(id=wish_id))))

    @rule(who=st.integers(0, 2), by=st.sampled_from(["patient", "doctor"]), yes=st.booleans())
    def free_what_somebody_waits_for(self, who: int, by: str, yes: bool) -> None:
        if not self.world.booked:
            return
        held = self.world.booked[-1]
        self.run(self._wait(who, held))
        self.run(self._cancel(held, by))
        self.run(self.world.work())
        if yes:
            self.run(self._take_what_is_offered())

    @rule(minutes=st.sampled_from([1, 8, 16, 90]))
    def time_passes(self, minutes: int) -> None:
        self.world.now += timedelta(minutes=minutes)

    @rule()
    def the_worker_works(self) -> None:
        self.run(self.world.work())
        assert self.run(self.world.wrong(WRONG_AT_REST)) == []
        self.run(self._balances())

    @invariant()
    def the_books_agree(self) -> None:
        if hasattr(self, "world"):
            assert self.run(self.world.wrong(WRONG)) == []

    def _remember(self, held: Any) -> None:
        if held is not None and held.id not in self.world.booked:
            self.world.booked.append(held.id)

    async def _pay(self, id_: ConsultationId, *, paid: bool, reorder: bool) -> None:
        world = self.world
        held = await world.database.read(lambda tx: consultation(tx, id_))
        ask = PayInSandbox(
            id=PaymentId(held.payment.id), outcome="paid" if paid else "failed", duplicates=1, reorder=reorder
        )
        run = world.database.run(actor=self._patient_of(held.patient_id))
        verify = verifier(world.settings, lambda: world.now)
        with contextlib.suppress(Problem):
            await pay_in_sandbox(run, ask, settings=world.settings, verify=verify)

    async def _wait(self, who: int, id_: ConsultationId) -> None:
        held = await self.world.database.read(lambda tx: consultation(tx, id_))
        actor = self.world.patients[who]
        ask = JoinWaitlist(doctor_id=held.doctor_id, from_time=held.start_time, to_time=held.end_time)
        wish = await self.world.act(actor, partial(join_waitlist, ask=ask))
        if wish is not None:
            self.world.wishes.append((actor, wish.id))

    async def _take_what_is_offered(self) -> None:
        async def offers(tx: Tx) -> list[tuple[SlotId, PatientId]]:
            rows = await tx.conn.fetch("select slot_id, patient_id from waitlist_offers where ended_at is null")
            return [(SlotId(row["slot_id"]), PatientId(row["patient_id"])) for row in rows]

        for slot_id, patient_id in await self.world.database.read(offers):
            ask = BookSlot(slot_id=slot_id)
            book = partial(book_slot, ask=ask, cipher=self.cipher, settings=self.world.settings)
            self._remember(await self.world.act(self._patient_of(patient_id), book, at_once=True))

    async def _cancel(self, id_: ConsultationId, by: str) -> None:
        world = self.world
        held = await world.database.read(lambda tx: consultation(tx, id_))
        actor = {
            "patient": self._patient_of(held.patient_id),
            "doctor": next(each for each in world.doctors if each.doctor_id == held.doctor_id),
            "admin": Actor(Role.ADMIN),
        }[by]
        said = await world.database.read(lambda tx: cancellation(tx, held, world.settings), actor=actor)
        ask = CancelBooking(id=id_)
        cancel = partial(cancel_booking, ask=ask, cipher=self.cipher, settings=world.settings)
        if await world.act(actor, cancel) is not None and held.payment.status == "captured":
            world.kept[id_] = held.payment.amount - said.refund_minor

    async def _move(self, id_: ConsultationId, slot: int) -> None:
        world = self.world
        held = await world.database.read(lambda tx: consultation(tx, id_))
        ask = Reschedule(id=id_, slot_id=world.slots[slot % len(world.slots)])
        await world.act(
            self._patient_of(held.patient_id),
            partial(reschedule, ask=ask, cipher=self.cipher, settings=world.settings),
        )

    async def _take_leave(self, doctor: int, slot: int, choice: str) -> None:
        world = self.world
        actor = world.doctors[doctor]
        assert actor.doctor_id is not None
        times = [(begins, ends) for doctor_id, begins, ends in world.times if doctor_id == actor.doctor_id]
        begins, ends = times[slot % len(times)]
        ask = TakeLeave.model_validate({"id": actor.doctor_id, "from": begins, "to": ends, "booked": choice})
        with contextlib.suppress(Problem):
            run = world.database.run(actor=actor)
            taken = await take_leave(run, ask, cipher=self.cipher, settings=world.settings)
            world.leave.append((actor, taken.id))

    async def _balances(self) -> None:
        """Of what is cancelled the house keeps what its terms said, and not a paisa more or less."""

        async def worth(tx: Tx) -> list[tuple[ConsultationId, int]]:
            rows = await tx.conn.fetch(
                """
                select p.consultation_id,
                       sum(case e.kind when 'captured' then e.amount_minor
                                       when 'refunded' then -e.amount_minor else 0 end)::bigint as worth
                  from payments p
                  join payment_entries e on e.payment_id = p.id
                  join consultations c on c.id = p.consultation_id and c.status = 'CANCELLED'
                 group by 1
                """
            )
            return [(ConsultationId(row["consultation_id"]), row["worth"]) for row in rows]

        for id_, minor in await self.world.database.read(worth):
            assert minor == self.world.kept.get(id_, 0), id_

    def _patient_of(self, patient_id: PatientId) -> Actor:
        return next(actor for actor in self.world.patients if actor.patient_id == patient_id)


def test_whatever_people_do_the_books_agree(services: Services) -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(services.forget())
    Clinic.services, Clinic.loop = services, loop
    chosen = settings(
        max_examples=30,
        stateful_step_count=50,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
    )
    try:
        run_state_machine_as_test(Clinic, settings=chosen)
    finally:
        loop.close()
