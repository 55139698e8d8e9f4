"""Events: declared once, as frozen classes. Outbox rows, wire messages, AsyncAPI and listeners follow from here."""

from __future__ import annotations

import string
from typing import Any, ClassVar

from pydantic import ConfigDict

from server.core.models import Model
from server.core.privacy import Level, fields_above, highest


class Room:
    """A place that browsers watch: `slots:{doctor_id}`. `cleared` is the most private class that may enter."""

    def __init__(self, template: str, *, cleared: Level) -> None:
        self.template = template
        self.cleared = cleared
        self.kind = template.partition(":")[0]
        self.fields = tuple(name for _, name, _, _ in string.Formatter().parse(template) if name)

    def of(self, **values: object) -> str:
        """The name of one room."""
        return self.template.format(**values)

    def __repr__(self) -> str:
        return f"Room({self.template!r})"


class TooPrivate(TypeError):
    """An event holds a field that its room is not cleared for. Raised at import."""


class News(Model):
    """What rooms are told: an Event or a Signal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    rooms: ClassVar[tuple[Room, ...]]
    private: ClassVar[bool]
    address: ClassVar[set[str]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__()

    def room_names(self) -> list[str]:
        """The rooms that this reaches."""
        return [room.of(**{field: getattr(self, field) for field in room.fields}) for room in self.rooms]

    def wire(self) -> dict[str, Any]:
        """The data of the message that browsers get: all fields but those that only address the room."""
        return self.model_dump(mode="json", exclude=self.address)

    def wire_json(self) -> bytes:
        """The same as it travels."""
        return self.model_dump_json(exclude=self.address).encode()


class Event(News):
    """Something that happened, named noun.past. Stored in the outbox, numbered in its rooms, in the transaction."""

    control: ClassVar[bool] = False
    """Whether every process hears it at once, on the control channel (a session ended)."""

    def stale_keys(self) -> list[str]:
        """Redis keys that this event makes untrue: deleted right after the commit."""
        return []

    @classmethod
    def __pydantic_init_subclass__(cls, *, name: str, rooms: tuple[Room, ...] = (), **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _declare(cls, name, rooms)
        if name in EVENTS and EVENTS[name].__qualname__ != cls.__qualname__:
            raise TypeError(f"two events are named {name}")
        EVENTS[name] = cls


class Signal(News):
    """Something that may be lost (typing, presence): straight to Redis, never stored, without a number."""

    @classmethod
    def __pydantic_init_subclass__(cls, *, name: str, rooms: tuple[Room, ...], **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        _declare(cls, name, rooms)
        SIGNALS[name] = cls


EVENTS: dict[str, type[Event]] = {}
SIGNALS: dict[str, type[Signal]] = {}


def _declare(cls: type[News], name: str, rooms: tuple[Room, ...]) -> None:
    cls.name = name
    cls.rooms = rooms
    cls.private = highest(cls) >= Level.SENSITIVE
    cls.address = {field for room in rooms for field in room.fields}
    for room in rooms:
        for field in fields_above(cls, room.cleared):
            if field not in room.fields:
                raise TooPrivate(f"{name}.{field} is too private for {room.template}")
        missing = [field for field in room.fields if field not in cls.model_fields]
        if missing:
            raise TypeError(f"{name} does not say which {room.template}: it has no {', '.join(missing)}")
