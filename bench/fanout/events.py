"""Real events of this server, from a process beside it: transactions that change slots, published after their commit.

    python -m bench.fanout.events

A batch is one transaction: its `slot.changed` events get their numbers, stand in the log and in the outbox, and go out
through the product's own publisher. The moment of an event is when its frame is handed over, right after the commit.
"""

from __future__ import annotations

import asyncio
import gc
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from bench.fanout.lines import serve_lines
from server.core.cipher import Cipher
from server.core.clock import shifted_clock
from server.core.database import Database
from server.core.ids import DoctorId, SlotId, new_id
from server.core.outbox import Frame
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.tx import Tx
from server.core.valkey import connect_redis
from server.scheduling import SLOTS, PublicSlot, SlotChanged, SlotStatus


class TimedPublisher(Publisher):
    """Notes which frame was handed over when."""

    handed: list[tuple[str, int, float]]

    def hand(self, frames: list[Frame], *, relay: bool) -> None:
        now = time.monotonic()
        self.handed += [(frame.room, frame.number, now) for frame in frames]
        super().hand(frames, relay=relay)


async def change(database: Database, batch: list[tuple[UUID, int]]) -> None:
    """One transaction: so many changed slots of each doctor."""

    async def tell(tx: Tx) -> None:
        for doctor, count in batch:
            doctor_id = DoctorId(doctor)
            for _ in range(count):
                slot = PublicSlot(
                    id=SlotId(new_id(tx.now)),
                    doctor_id=doctor_id,
                    start_time=tx.now,
                    end_time=tx.now + timedelta(minutes=15),
                    status=SlotStatus.BOOKED,
                    version=1,
                )
                tx.emit(SlotChanged(doctor_id=doctor_id, slot=slot))

    await database.write(tell)


async def main() -> None:
    """Serve `{doctors, batches: [[[room, count], ...], ...], interval}`: each batch at its time, without waiting for
    the one before; the answer is `[room, moment]` of every event, in the order of its room."""
    settings = Settings()
    cipher, redis = Cipher(settings), connect_redis(settings)
    publisher = TimedPublisher(redis, cipher)
    async with publisher:
        database = await Database.connect(settings, shifted_clock(0), cipher, publisher)

        async def emit(ask: dict[str, Any]) -> dict[str, Any]:
            publisher.handed = []
            doctors = [UUID(text) for text in ask["doctors"]]
            rooms = {SLOTS.of(doctor_id=doctor): number for number, doctor in enumerate(doctors)}
            begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number, batch in enumerate(ask["batches"]):
                    await asyncio.sleep(begun + number * ask["interval"] - time.monotonic())
                    group.create_task(change(database, [(doctors[room], count) for room, count in batch]))
            ordered = sorted(publisher.handed)
            return {"sent": [[rooms[room], moment] for room, _, moment in ordered]}

        gc.freeze()
        await serve_lines(emit)
        await database.close()
    await redis.aclose()


if __name__ == "__main__":
    asyncio.run(main())
