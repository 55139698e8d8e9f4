"""The room of operations: what administrators watch while everything runs, in numbers and nobody's name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated
from uuid import UUID

from realtime.delivery.connections import Connections
from realtime.delivery.feed import Feeds
from realtime.delivery.live_room import LiveRoom
from realtime.delivery.neighbours import Figures, Neighbours
from realtime.rooms.queries import work_at_hand
from server.consultations import CONSULTATION, QUEUE
from server.core.database import Database
from server.core.errors import NotFound, Problem
from server.core.events import Room, Signal
from server.core.models import Model
from server.core.privacy import Level
from server.core.tasks import end_tasks
from server.core.tx import Role, Tx
from server.core.valkey import REDIS_AWAY
from server.payments import open_differences

log = logging.getLogger(__name__)
OPS = Room("ops", cleared=Level.INTERNAL)
PAUSE_SECONDS = 2.0


class ServerFigures(Model):
    """One server process: its sockets, the rooms they watch, and the calls that wait for their turn."""

    id: Annotated[str, Level.INTERNAL]
    connections: int
    signed_in: int
    rooms: int
    calls_waiting: int
    patients: int
    doctors: int
    shares_budgets: bool


class Operations(Model):
    """What is going on. Those of `servers` are summed up in front; ages are in seconds, 0 where nothing waits.

    `patients` have their consultation open, `doctors` their queue; `called` patients wait for their doctor.
    `steps_due` are late by more than a moment, `steps_parked` were given up after five tries.
    """

    connections: int
    signed_in: int
    rooms: int
    calls_waiting: int
    patients: int
    doctors: int
    called: int
    steps_due: int
    steps_parked: int
    outbox_waiting: int
    outbox_lag_seconds: float
    payment_differences: int
    redis_away: bool
    servers: list[ServerFigures]


class OperationsChanged(Signal, name="operations.changed", rooms=(OPS,)):
    """The numbers as they now are, every two seconds while somebody watches."""

    operations: Operations


class OperationsBoard:
    """Reads the numbers, and tells them to who watches here. A server where nobody does asks nothing."""

    def __init__(self, database: Database, neighbours: Neighbours, feeds: Feeds) -> None:
        self._database = database
        self._neighbours = neighbours
        self._feeds = feeds
        self._task: asyncio.Task[None] | None = None
        self.room = LiveRoom(OPS, may_join=only_administrators, snapshot=self._snapshot)

    def start(self) -> None:
        """Begin to tell."""
        self._task = asyncio.get_running_loop().create_task(self._tell(), name="operations")

    async def stop(self) -> None:
        """Stop telling."""
        if self._task is not None:
            await end_tasks([self._task])

    async def look(self, tx: Tx) -> Operations:
        """The numbers as of now. While Redis is away, those of this server alone."""
        servers, redis_away = await self._servers()
        work = await work_at_hand(tx, late=timedelta(seconds=5))
        lag = (tx.now - work.outbox_since).total_seconds() if work.outbox_since else 0.0
        return Operations(
            connections=sum(server.connections for server in servers),
            signed_in=sum(server.signed_in for server in servers),
            rooms=sum(server.rooms for server in servers),
            calls_waiting=sum(server.calls_waiting for server in servers),
            patients=sum(server.patients for server in servers),
            doctors=sum(server.doctors for server in servers),
            called=work.called,
            steps_due=work.steps_due,
            steps_parked=work.steps_parked,
            outbox_waiting=work.outbox_waiting,
            outbox_lag_seconds=round(max(0.0, lag), 1),
            payment_differences=int(await open_differences(tx)),
            redis_away=redis_away,
            servers=servers,
        )

    async def _servers(self) -> tuple[list[ServerFigures], bool]:
        try:
            told = await self._neighbours.everybody()
        except REDIS_AWAY:
            told = {self._neighbours.me: self._neighbours.figures()}
        servers = [server for process, figures in sorted(told.items()) if (server := _server(process, figures))]
        return servers, self._neighbours.breaker.is_broken

    async def _snapshot(self, tx: Tx, id_: UUID) -> Mapping[str, object]:
        del id_
        return {"operations": await self.look(tx)}

    async def _tell(self) -> None:
        room = OPS.of()
        while True:
            await asyncio.sleep(PAUSE_SECONDS)
            if not self._feeds.members(room):
                continue
            try:
                changed = OperationsChanged(operations=await self._database.read(self.look, source="operations"))
            except Problem as problem:
                log.warning("the numbers of operations cannot be read", extra={"code": problem.code})
                continue
            except Exception:
                log.exception("the look at operations tripped; it goes on")
                continue
            self._feeds.tell_here(room, changed.name, changed.wire(), self._feeds.members(room))


async def only_administrators(tx: Tx, id_: UUID) -> None:
    """Raises NotFound for anybody else."""
    del id_
    if tx.actor.role is not Role.ADMIN:
        raise NotFound


def figures_of(connections: Connections) -> Figures:
    """This process in numbers, as it tells them to its neighbours."""
    sockets = list(connections.sockets.values())
    rooms = {room for socket in sockets for room in socket.rooms}
    of_patients = {room for socket in sockets if socket.actor.role is Role.PATIENT for room in socket.rooms}
    return {
        "connections": len(sockets),
        "signed_in": sum(not socket.is_anonymous for socket in sockets),
        "rooms": len(rooms),
        "calls_waiting": sum(socket.waiting for socket in sockets),
        "patients": sum(room.startswith(f"{CONSULTATION.kind}:") for room in of_patients),
        "doctors": sum(room.startswith(f"{QUEUE.kind}:") for room in rooms),
        "shares_budgets": connections.shares_budgets,
    }


def _server(process: str, figures: Figures) -> ServerFigures | None:
    """What a process told; None of a server whose release tells other numbers."""
    if not ServerFigures.model_fields.keys() - {"id"} <= figures.keys():
        return None
    return ServerFigures.model_validate({"id": process, **figures})
