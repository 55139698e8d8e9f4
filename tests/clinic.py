"""A clinic whose clock stands still until it is told to move, and the questions that its books must answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.database import Database
from server.core.errors import Problem
from server.core.ids import ConsultationId, DoctorId, PatientId, SlotId, UserId
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.tx import Actor, Role, Tx
from server.core.valkey import connect_redis
from server.payments import gateways_of
from server.scheduling import (
    end_due_offers,
)
from tests.conftest import Services
from worker import queries as deliveries
from worker import sagas
from worker.jobs.holds import expire_holds
from worker.registry import STEPS
from worker.runner import Runner

assert sagas  # imported for its registrations
R = TypeVar("R")
SLOTS = 4
WRONG: dict[str, str] = {
    "a slot with two live consultations": """
        select slot_id from consultations where status in ('PENDING', 'ACTIVE') group by slot_id having count(*) > 1
    """,
    "a live consultation without its booked slot": """
        select c.id from consultations c
          left join availability_slots s on s.id = c.slot_id and s.consultation_id = c.id and s.status = 'BOOKED'
               and s.start_time = c.start_time and s.doctor_id = c.doctor_id
               and s.patient_n = (select n from patients p where p.id = c.patient_id)
         where c.status in ('PENDING', 'ACTIVE') and s.id is null
    """,
    "a slot to come that a dead consultation holds": """
        select s.id from availability_slots s
          join consultations c on c.id = s.consultation_id
         where s.start_time > $1 and c.status = 'CANCELLED'
    """,
    "a patient in two places at once": """
        select a.id from consultations a
          join consultations b on b.patient_id = a.patient_id and b.id > a.id
               and a.start_time < b.end_time and b.start_time < a.end_time
         where a.status in ('PENDING', 'ACTIVE') and b.status in ('PENDING', 'ACTIVE')
    """,
    "a confirmed consultation without its money": """
        select c.id from consultations c join payments p on p.consultation_id = c.id
         where c.status = 'PENDING' and c.confirmed_at is not null
           and (select coalesce(sum(case e.kind when 'captured' then e.amount_minor when 'refunded' then -e.amount_minor
                                                else 0 end), 0)
                  from payment_entries e where e.payment_id = p.id) < p.amount_minor
    """,
    "more given back than was taken": """
        select payment_id from payment_entries group by payment_id
        having sum(case kind when 'captured' then amount_minor when 'refunded' then -amount_minor else 0 end) < 0
    """,
    "a room whose numbers have a gap": """
        select r.name from rooms r
          left join (select room, count(*) as told, min(number) as first, max(number) as last
                       from room_events group by room) e on e.room = r.name
         where e.told is distinct from r.seq or e.first <> 1 or e.last is distinct from r.seq
    """,
    "an event told twice in one room, or never stored": """
        select event_id from room_events e
         group by room, event_id having count(*) > 1
        union all
        select e.event_id from room_events e where not exists (select 1 from outbox o where o.id = e.event_id)
    """,
    "an offer without a slot that is kept for it": """
        select o.id from waitlist_offers o
          left join availability_slots s on s.id = o.slot_id and s.status = 'AVAILABLE'
               and s.offered_n = (select n from patients p where p.id = o.patient_id)
         where o.ended_at is null and o.offered_until > $1 and s.id is null
           and exists (select 1 from availability_slots x where x.id = o.slot_id)
    """,
    "a slot that is kept for nobody": """
        select s.id from availability_slots s
         where s.offered_n > 0 and not exists (
               select 1 from waitlist_offers o where o.slot_id = s.id and o.ended_at is null)
    """,
}
# What must hold once nothing is left to do.
WRONG_AT_REST: dict[str, str] = {
    "a step that was not done": "select event_id from deliveries where done_at is null",
    "an event that nobody relayed": "select id from outbox where relayed_at is null",
    "money kept for a consultation that was paid twice": """
        select p.id from payments p join payment_entries e on e.payment_id = p.id
         group by p.id having sum(case e.kind when 'captured' then e.amount_minor
                                              when 'refunded' then -e.amount_minor else 0 end) > p.amount_minor
    """,
    "a payment that is not what its ledger says": """
        select p.id from payments p
          join (select payment_id, sum(case kind when 'captured' then amount_minor when 'refunded' then -amount_minor
                                                 else 0 end) as worth,
                       bool_or(kind = 'captured') as paid from payment_entries group by 1) e on e.payment_id = p.id
         where p.amount_minor > 0 and e.paid
           and p.status <> case when e.worth > 0 then 'captured' else 'refunded' end
    """,
    "a kept slot that nobody was found for": "select id from availability_slots where offered_n = 0",
}


@dataclass
class World:
    """A clinic of its own, whose clock stands still until it is told to move."""

    database: Database
    stack: contextlib.AsyncExitStack
    settings: Settings
    runner: Runner
    now: datetime
    patients: list[Actor] = field(default_factory=list[Actor])
    doctors: list[Actor] = field(default_factory=list[Actor])
    slots: list[SlotId] = field(default_factory=list[SlotId])
    times: list[tuple[DoctorId, datetime, datetime]] = field(default_factory=list[tuple[DoctorId, datetime, datetime]])
    booked: list[ConsultationId] = field(default_factory=list[ConsultationId])
    wishes: list[tuple[Actor, UUID]] = field(default_factory=list[tuple[Actor, UUID]])
    leave: list[tuple[Actor, UUID]] = field(default_factory=list[tuple[Actor, UUID]])
    kept: dict[ConsultationId, int] = field(default_factory=dict[ConsultationId, int])

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(cls, services: Services) -> AsyncGenerator[World]:
        """The same for as long as a block lasts, with Valkey empty."""
        await services.forget()
        world = await cls.open(services)
        try:
            yield world
        finally:
            await world.stack.aclose()

    @classmethod
    async def open(cls, services: Services) -> World:
        """A copy of the demo's clinic; cancelling late costs something here."""
        found = services.settings_of(
            await services.new_database(), cancel_full_hours=24, cancel_partial_hours=3, hold_minutes=15
        )
        stack = contextlib.AsyncExitStack()
        cipher = Cipher(found)
        redis = connect_redis(found)
        stack.push_async_callback(redis.aclose)
        publisher = await stack.enter_async_context(Publisher(redis, cipher))
        begins = utc_now()
        holder: list[World] = []
        database = await Database.connect(found, lambda: holder[0].now if holder else begins, cipher, publisher)
        stack.push_async_callback(database.close)
        house = {"cipher": cipher, "settings": found, "gateways": gateways_of(found)}
        world = cls(database, stack, found, Runner(database, house, step_seconds=30, errand_seconds=300), begins)
        holder.append(world)
        await database.write(world._look_around)
        return world

    async def _look_around(self, tx: Tx) -> None:
        await deliveries.announce_steps(tx, {step.name: step.event.name for step in STEPS.values()})
        for row in await tx.conn.fetch("select p.id, p.n, p.user_id from patients p order by n limit 3"):
            self.patients.append(
                Actor(Role.PATIENT, UserId(row["user_id"]), PatientId(row["id"]), row["n"], time_zone="Asia/Kolkata")
            )
        for row in await tx.conn.fetch("select id, user_id from doctors order by fee_minor, n limit 2"):
            await tx.conn.execute("update doctors set walk_ins = true where id = $1", row["id"])
            self.doctors.append(Actor(Role.DOCTOR, UserId(row["user_id"]), doctor_id=DoctorId(row["id"])))
            for slot in await tx.conn.fetch(
                "select id, start_time, end_time from availability_slots"
                " where doctor_id = $1 and start_time > $2 order by start_time limit $3",
                row["id"],
                tx.now + timedelta(hours=2),
                SLOTS,
            ):
                self.slots.append(SlotId(slot["id"]))
                self.times.append((DoctorId(row["id"]), slot["start_time"], slot["end_time"]))

    async def act(self, actor: Actor, operation: Callable[[Tx], Awaitable[R]], *, at_once: bool = False) -> R | None:
        """Let somebody do something; a refusal is an answer like any other."""
        try:
            return await self.database.write(operation, actor=actor, at_once=at_once)
        except Problem as problem:
            if problem.status >= 500:
                raise
            return None

    async def work(self) -> None:
        """Do what the worker would, until there is nothing more to do."""
        for _ in range(50):
            await self.database.write(partial(expire_holds, cipher=self.database.cipher))
            await self.database.write(end_due_offers)
            found = await self.database.brief(lambda tx: deliveries.relay(tx, 200, self.runner.known))
            if not found:
                return
            for one in found:
                await self.runner.execute(one.delivery, one.event)
        raise AssertionError("the steps go round and round")

    async def wrong(self, questions: dict[str, str]) -> list[str]:
        """What is not as it should be."""

        async def ask(tx: Tx) -> list[str]:
            found: list[str] = []
            for name, sql in questions.items():
                rows = await tx.conn.fetch(sql, *([tx.now] if "$1" in sql else []))
                if rows:
                    found.append(f"{name}: {[tuple(row) for row in rows]}")
            return found

        return await self.database.read(ask)
