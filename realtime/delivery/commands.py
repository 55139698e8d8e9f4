"""Commands: what a client may ask over its socket, as a table; each call is acknowledged with a result or a problem."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import secrets
import typing
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel

from realtime.delivery.connections import Connections, Socket, refusal
from realtime.delivery.frames import compact
from server.core.database import Database
from server.core.edge.bodies import build
from server.core.errors import (
    FieldError,
    Internal,
    Invalid,
    NotFound,
    Problem,
    Unauthenticated,
)
from server.core.models import Ask, Done, rfc3339
from server.core.routes import Access, admit, bare_function
from server.core.tx import Tx

log = logging.getLogger(__name__)


class UnknownCommand(NotFound):
    """There is no event of this name; /api/v1/asyncapi.json lists those there are."""

    code = "unknown-event"
    title = "There is no such event."


@dataclass(frozen=True)
class Command:
    """One line of the table.

    The handler is an operation (tx, ask), an errand (run, ask), or (socket, ask) where the socket itself matters.
    `under` names the result in the acknowledgement; without it the result's own fields stand there.
    """

    name: str
    handler: Callable[..., Awaitable[Any]]
    access: Access
    raises: Sequence[type[Problem]] = ()
    under: str = ""
    kind: Literal["tx", "run", "socket"] = field(init=False)
    ask: type[Ask] = field(init=False)
    result: Any = field(init=False)

    def __post_init__(self) -> None:
        names = list(inspect.signature(self.handler).parameters)
        if len(names) < 2 or names[0] not in ("tx", "run", "socket") or names[1] != "ask":
            raise TypeError(f"{self.name} must take (tx, ask), (run, ask) or (socket, ask)")
        hints = typing.get_type_hints(bare_function(self.handler))
        object.__setattr__(self, "kind", names[0])
        object.__setattr__(self, "ask", hints["ask"])
        object.__setattr__(self, "result", hints["return"])


def command(
    name: str,
    handler: Callable[..., Awaitable[Any]],
    *,
    access: Access,
    raises: Sequence[type[Problem]] = (),
    under: str = "",
) -> Command:
    """A line of the table."""
    return Command(name, handler, access, raises, under)


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer that is JSON already, and what must follow it at once on the same socket."""

    body: str
    then: Callable[[], None]


class Commands:
    """Runs the table. Calls of one socket run one after the other, in the order they came."""

    def __init__(self, database: Database, connections: Connections, table: Iterable[Command]) -> None:
        self._database = database
        self._connections = connections
        self._table: dict[str, Command] = {}
        for line in table:
            if line.name in self._table:
                raise TypeError(f"two commands are named {line.name}")
            self._table[line.name] = line
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def table(self) -> list[Command]:
        """Every line."""
        return list(self._table.values())

    def call(self, socket: Socket, call: int | None, name: str, arguments: list[object]) -> None:
        """Run a call in its turn, and acknowledge it."""
        socket.waiting += 1
        task = asyncio.get_running_loop().create_task(self._in_turn(socket, call, name, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self, seconds: float) -> None:
        """Let the calls under way come to their end."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    async def _in_turn(self, socket: Socket, call: int | None, name: str, arguments: list[object]) -> None:
        try:
            async with socket.order:
                if not socket.is_leaving:
                    await self._answer(socket, call, name, arguments)
        finally:
            socket.waiting -= 1

    async def _answer(self, socket: Socket, call: int | None, name: str, arguments: list[object]) -> None:
        request_id = secrets.token_urlsafe(12)
        problem: Problem
        try:
            line = self._find(socket, name)
            result = await self._perform(socket, line, _ask(line, arguments), request_id)
            body, then = self._ready(line, result)
            if call is not None:
                socket.wire.acknowledge(call, body)
            if then is not None and not socket.is_leaving:
                then()
            return
        except Problem as refused:
            problem = refused
        except Exception:
            log.exception("a command failed", extra={"request_id": request_id, "event": name[:60]})
            problem = Internal()
        if call is not None:
            socket.wire.acknowledge(call, refusal(problem, request_id, self._now()))
        if isinstance(problem, Unauthenticated) and socket.is_anonymous:
            self._connections.dismiss(socket.wire, "unauthenticated", retry=False)

    def _find(self, socket: Socket, name: str) -> Command:
        line = self._table.get(name)
        if line is None:
            if socket.is_anonymous:
                raise Unauthenticated
            raise UnknownCommand
        admit(line.access, socket.actor, self._database.clock())
        return line

    async def _perform(self, socket: Socket, line: Command, ask: Ask, request_id: str) -> Any:
        check, actor = line.access.check, socket.actor
        if line.kind == "tx":

            async def act(tx: Tx) -> Any:
                if check is not None:
                    await check(tx, ask)
                return await line.handler(tx, ask)

            return await self._database.write(act, actor=actor, request_id=request_id, source="socket")
        if check is not None:
            await self._database.read(lambda tx: check(tx, ask), actor=actor, request_id=request_id, source="socket")
        if line.kind == "socket":
            return await line.handler(socket, ask)
        run = self._database.run(actor=actor, request_id=request_id, source="socket")
        return await line.handler(run, ask)

    def _ready(self, line: Command, result: Any) -> tuple[str, Callable[[], None] | None]:
        if isinstance(result, Ready):
            return result.body, result.then
        fields: dict[str, Any] = {}
        if isinstance(result, BaseModel) and not isinstance(result, Done):
            dumped = result.model_dump(mode="json", by_alias=True)
            fields = {line.under: dumped} if line.under else dumped
        return compact({"ok": True, "at": self._now(), **fields}), None

    def _now(self) -> str:
        return rfc3339(self._database.clock())


def _ask(line: Command, arguments: list[object]) -> Ask:
    if len(arguments) > 1 or (arguments and not isinstance(arguments[0], dict)):
        message = "This event takes one object."
        raise Invalid(errors=[FieldError(field="body", code="dict_type", message=message)])
    return build(line.ask, cast("dict[str, Any]", arguments[0]) if arguments else {})


def bound(handler: Callable[..., Awaitable[Any]], *first: object, **rest: object) -> Callable[..., Awaitable[Any]]:
    """A handler with what does not come from the client already given."""
    return functools.partial(handler, *first, **rest)
