"""All rooms and commands of a process, bound to what they stand on, and what happens when people go."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from realtime.delivery.commands import Command
from realtime.delivery.connections import Socket
from realtime.delivery.feed import Feeds
from realtime.delivery.live_room import LiveRoom
from realtime.delivery.neighbours import Neighbours
from realtime.rooms.call import call_commands, open_calls
from realtime.rooms.consultation import consultation_room, queue_room
from realtime.rooms.operations import OperationsBoard
from realtime.rooms.people import USER_ROOM
from realtime.rooms.queries import Called, called_before
from realtime.rooms.slots import slots_room
from realtime.video import CallRole, close_call, socket_closed
from server.consultations import (
    CONSULTATION,
    QUEUE,
    InConsultation,
    NotCalled,
    PutBack,
    Status,
    Who,
    WrongStatus,
    admitted,
    begin_meeting,
    consultation,
    put_back,
)
from server.core.cipher import Cipher
from server.core.database import Database
from server.core.errors import NotFound, Problem
from server.core.ids import ConsultationId
from server.core.publish import Publisher
from server.core.settings import Settings
from server.core.tx import Actor, Role, Tx

log = logging.getLogger(__name__)
IsPresent = Callable[[str, str], Awaitable[bool]]
OVER = (Status.COMPLETED, Status.CANCELLED)


class BoundRooms:
    """Every kind of room that this server has, and the commands that belong to none of them."""

    def __init__(
        self,
        settings: Settings,
        cipher: Cipher,
        database: Database,
        redis: Redis,
        publisher: Publisher,
        feeds: Feeds,
        neighbours: Neighbours,
    ) -> None:
        self._cipher = cipher
        self._database = database
        self._calls = open_calls(settings, redis, feeds, publisher, database.clock, self._may_call)
        self._tasks: set[asyncio.Task[None]] = set()
        self._deserted: dict[ConsultationId, float] = {}
        """Called patients whose doctor is nowhere to be seen, and since when this process has seen it."""
        self.operations = OperationsBoard(database, neighbours, feeds)
        self.rooms: list[LiveRoom] = [
            slots_room(settings),
            queue_room(settings, cipher),
            consultation_room(settings, cipher, publisher),
            USER_ROOM,
            self.operations.room,
        ]
        self.commands: list[Command] = call_commands(self._calls, feeds)
        feeds.on_event.append(self._heard)

    async def socket_closed(self, socket: Socket) -> None:
        """A socket has ended: its call is told, whose media may well go on."""
        await socket_closed(self._calls, socket)

    async def put_back_the_deserted(self, away: Sequence[tuple[str, str]], grace: float, present: IsPresent) -> None:
        """Called patients whose doctor has been away for `grace` seconds wait again, in the same place.

        `away` are rooms and the roles that this process has missed there for so long; of a room that nobody has open
        here it knows only since its last looks. A doctor who sits at the queue is not away. Raises one of REDIS_AWAY:
        then nobody is said to be away.
        """

        async def look(tx: Tx) -> list[Called]:
            return await called_before(tx, timedelta(seconds=grace))

        before, self._deserted = self._deserted, {}
        now, deserted = time.monotonic(), dict[ConsultationId, float]()
        for called in await self._database.read(look, source="presence"):
            room = CONSULTATION.of(consultation_id=called.id)
            if await present(room, "DOCTOR") or await present(QUEUE.of(doctor_id=called.doctor_id), "DOCTOR"):
                continue
            since = deserted[called.id] = before.get(called.id, now)
            if now - since < grace and (room, "DOCTOR") not in away:
                continue
            ask = PutBack(consultation_id=called.id)
            await self._database.write(lambda tx, ask=ask: put_back(tx, ask, cipher=self._cipher), source="presence")
            log.info("a called patient waits again", extra={"consultation_id": str(called.id)})
        self._deserted = deserted

    async def _may_call(self, actor: Actor, consultation_id: ConsultationId) -> CallRole:
        """Patient or doctor of a consultation that was called in; the doctor who comes in starts it.

        Raises NotFound, NotCalled, WrongStatus.
        """
        ask = InConsultation(consultation_id=consultation_id)

        async def look(tx: Tx) -> bool:
            if not await admitted(tx, consultation_id, Who.MEMBER):
                raise NotFound
            found = await consultation(tx, consultation_id)
            if found.status in OVER:
                raise WrongStatus("This consultation is over.", consultation_status=found.status.value)
            if found.called_at is None and found.status is Status.PENDING:
                raise NotCalled
            return found.status is Status.PENDING

        has_not_begun = await self._database.read(look, actor=actor, source="socket")
        if actor.role is not Role.DOCTOR:
            return CallRole.PATIENT
        if has_not_begun:
            await self._database.write(
                lambda tx: begin_meeting(tx, ask, cipher=self._cipher), actor=actor, source="socket"
            )
        return CallRole.DOCTOR

    def _heard(self, room: str, type_: str, data: str) -> None:
        if type_ == "consultation.changed" and json.loads(data)["consultation"]["status"] in OVER:
            self._spawn(close_call(self._calls, ConsultationId(UUID(room.partition(":")[2]))))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_watched(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _watched(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Problem as problem:
        log.warning("a call could not be closed", extra={"code": problem.code})
