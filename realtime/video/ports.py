"""What a call stands on: the bus that carries signals, the store that holds who is in it, and who may come in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from realtime.video.call import Call
from realtime.video.turn import Turn
from realtime.video.wire import CallRole, ReportQuality
from server.core.clock import Clock
from server.core.ids import ConsultationId
from server.core.tx import Actor

__all__ = ["Call", "CallRole", "CallSocket", "CallStore", "Calls", "Kept", "SignalBus", "StoreAway"]


class CallSocket(Protocol):
    """A connected page: its id, who it is, and what this process remembers for it until it closes."""

    @property
    def id(self) -> str: ...
    @property
    def actor(self) -> Actor: ...
    @property
    def state(self) -> MutableMapping[str, Any]: ...


class SignalBus(Protocol):
    """Carries what may be lost, over all instances."""

    async def signal(self, room: str, type: str, data: dict[str, Any], *, to: str) -> None:  # noqa: A002 - wire's word
        """Send `event {room, type, data, at}` to the one socket whose id is `to`, on whichever instance it is."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A call as the store holds it; `version` goes up with each change."""

    version: int
    call: Call


class StoreAway(Exception):
    """The store cannot be reached."""


class CallStore(Protocol):
    """The state of calls, shared by all instances. Every method raises StoreAway if it cannot be reached."""

    async def load(self, consultation_id: ConsultationId) -> Kept | None: ...

    async def swap(self, consultation_id: ConsultationId, version: int, call: Call) -> bool:
        """Replace the call if nobody changed it since `version` (0: there was none); renews its expiry."""
        ...

    async def keep_description(self, consultation_id: ConsultationId, sender: str, receiver: str, text: str) -> None:
        """Keep the last description from one to another, replacing the one before."""
        ...

    async def descriptions_for(self, consultation_id: ConsultationId, receiver: str) -> list[str]: ...

    async def forget(self, consultation_id: ConsultationId) -> None: ...


MayJoin = Callable[[Actor, ConsultationId], Awaitable[CallRole]]
HearQuality = Callable[[ConsultationId, CallRole, ReportQuality], None]


def hear_nothing(consultation_id: ConsultationId, role: CallRole, report: ReportQuality) -> None:
    """Where nobody counts."""


@dataclass(frozen=True, slots=True)
class Calls:
    """All that the commands of a call need. `may_join` raises a Problem for whoever has no business in it."""

    store: CallStore
    bus: SignalBus
    clock: Clock
    may_join: MayJoin
    turn: Turn = field(default_factory=Turn)
    hear_quality: HearQuality = hear_nothing
