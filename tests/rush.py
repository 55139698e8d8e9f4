"""Sixty-four patients who book, pay and cancel over lean connections, each asking until it is answered for good.

What is acknowledged to them is written down: it is what the database is held against afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from bench.booking.plan import Plan, Slot
from bench.load import Answer, Connection, connect, request

ANSWER_SECONDS = 8
BROKEN = (OSError, TimeoutError)
AGAIN = ("in-flight", "busy")
PAY_SHARE, CANCEL_SHARE = 0.5, 0.1
Fate = Literal["booked", "cancelled"]


@dataclass
class Acknowledged:
    """A booking as its patient was told of it."""

    id: str
    slot_id: str
    client: int
    amount: int
    paid: bool = False
    fate: Fate = "booked"


@dataclass
class Told:
    """What all of them were told."""

    bookings: list[Acknowledged] = field(default_factory=list[Acknowledged])
    answers: Counter[str] = field(default_factory=Counter[str])
    """By status, or by the type of the problem."""
    broken: int = 0
    """Tries that had no answer."""
    late: int = 0
    """What was answered for good on a second try or a later one."""


class Patient:
    """One of them, with one connection at a time to one of the servers."""

    def __init__(self, number: int, token: str, ports: Sequence[int], told: Told, rng: random.Random) -> None:
        self.number = number
        self._headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": f"198.18.0.{number + 1}"}
        self._ports = ports
        self._told = told
        self._rng = rng
        self._port = 0
        self._link: Connection | None = None

    async def book(self, slot: Slot, *, for_good: bool = False) -> Acknowledged | None:
        """Book a slot; None when somebody else has it. Then, maybe, pay, and maybe cancel, unless it is for good."""
        answer = await self._act("/api/v1/consultations", {"slot_id": slot.id, "reason": "ज्वर"}, "201", "slot-taken")
        if answer.status == 409:
            return None
        said = cast("dict[str, Any]", answer.json())
        booking = Acknowledged(said["id"], slot.id, self.number, said["payment"]["amount"])
        self._told.bookings.append(booking)
        if booking.amount and self._rng.random() < PAY_SHARE:
            # It may be paid by the try before, whose answer got lost: this one has no key.
            await self._act(f"/dev/sandbox/{said['payment']['id']}", {"outcome": "paid"}, "200", "already-paid")
            booking.paid = True
        if not for_good and self._rng.random() < CANCEL_SHARE:
            await self._act(f"/api/v1/consultations/{booking.id}/cancel", {}, "200")
            booking.fate = "cancelled"
        return booking

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _act(self, path: str, body: Mapping[str, object], *final: str) -> Answer:
        """Ask under one key until the answer has one of these statuses, or refuses as one of these problems.

        A plea to come again is heeded; whatever else comes is a surprise.
        """
        key = f"{self._rng.getrandbits(128):032x}"
        tries = 0
        while True:
            tries += 1
            answer = await self._try(path, body, key)
            if answer is not None:
                what = str(answer.status)
                if answer.status >= 400:
                    what = str(answer.json()["type"]).removeprefix("/problems/")
                self._told.answers[what] += 1
                if what in final:
                    self._told.late += tries > 1
                    return answer
                if answer.status != 503 and what not in AGAIN:
                    raise AssertionError(f"{path}: {answer}")
            await asyncio.sleep(
                self._rng.uniform(0.05, 0.3)
            )  # the client's politeness, not a wait for anything of ours

    async def _try(self, path: str, body: Mapping[str, object], key: str) -> Answer | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if self._link is None:
                    self._port = self._rng.choice(self._ports)
                    [self._link] = await connect(self._port, 1)
                headers = {**self._headers, "Idempotency-Key": key}
                return await self._link.ask(request("POST", path, self._port, body, headers))
        except BROKEN:
            self._told.broken += 1
            self.hang_up()
            return None


async def rush(patients: Sequence[Patient], plans: Iterable[Plan], enough: Callable[[], bool]) -> None:
    """Plan after plan until it is enough: each books their own slots, then all at once the hot ones; one gets each."""
    together = asyncio.Barrier(len(patients))
    won: dict[str, int] = {}

    async def follow(patient: Patient, plan: Plan) -> None:
        for slot in plan.distinct[patient.number]:
            booking = await patient.book(slot)
            assert booking is not None, f"{slot} was asked for by one patient, and taken"
        for slot in plan.hot:
            await together.wait()
            # One that is given back is another's to have.
            if await patient.book(slot, for_good=True) is not None:
                assert won.setdefault(slot.id, patient.number) == patient.number

    try:
        for plan in plans:
            async with asyncio.TaskGroup() as group:
                for patient in patients:
                    group.create_task(follow(patient, plan))
            assert won.keys() >= {slot.id for slot in plan.hot}, "nobody got a slot that all wanted"
            if enough():
                return
    finally:
        for patient in patients:
            patient.hang_up()
    raise AssertionError("the plans came to their end first")


__all__ = ["Acknowledged", "Patient", "Told", "rush"]
