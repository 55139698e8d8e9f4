"""Who is connected: the handshake's identity, the bounds of sockets, and the word before one is closed."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import UUID

from aiohttp import web
from redis.asyncio import Redis

from realtime.delivery.budgets import SharedBudgets
from realtime.delivery.frames import compact
from realtime.delivery.limits import Bounds, Budgets
from realtime.delivery.neighbours import Neighbours
from realtime.delivery.socketio_server import Greeting, Wire
from server.core.clock import Clock
from server.core.edge.calls import client_address
from server.core.edge.identity import cookie_name
from server.core.errors import Forbidden, ForeignRequest, Problem, TooMany, Unauthenticated
from server.core.ids import SessionId, UserId
from server.core.limits import Rate, address_key
from server.core.models import rfc3339
from server.core.settings import Settings
from server.core.tx import ANONYMOUS, Actor, Role

log = logging.getLogger(__name__)
FindActor = Callable[[str], Awaitable[Actor | None]]
CANDIDATES = "video.candidate"


@dataclass(eq=False, slots=True)
class Socket:
    """A connected client: its id, who it is, the rooms it watches, and what features remember until it closes."""

    wire: Wire
    actor: Actor
    rooms: set[str] = field(default_factory=lambda: set[str]())
    state: MutableMapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    slow_since: float | None = None
    strikes: dict[str, list[float]] = field(default_factory=lambda: defaultdict[str, list[float]](list))
    last_input: float = field(default_factory=time.monotonic)
    is_leaving: bool = False

    @property
    def id(self) -> str:
        """The Socket.IO id."""
        return self.wire.id

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody is signed in here."""
        return self.actor.user_id is None


Called = Callable[[Socket, int | None, str, list[object]], None]
Closed = Callable[[Socket], None]


class Connections:
    """All sockets of this process. The listener of the socket server."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        find_actor: FindActor,
        redis: Redis,
        neighbours: Neighbours,
        bounds: Bounds,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._find_actor = find_actor
        self._bounds = bounds
        self._proxies = tuple(ipaddress.ip_network(text, strict=False) for text in settings.trusted_proxies)
        self._budgets = Budgets()
        self._nobody_yet: Counter[str] = Counter()
        self._addresses: dict[Wire, str] = {}
        self._by_user: dict[UserId, set[Socket]] = defaultdict(set)
        self._everywhere = SharedBudgets(redis, neighbours, bounds, here=self._count_here, subjects=self._subjects)
        self.start = self._everywhere.start
        self.stop = self._everywhere.stop
        self.sockets: dict[str, Socket] = {}
        self.accepting = True
        self.on_call: Called | None = None
        self.on_closed: list[Closed] = []

    @property
    def shares_budgets(self) -> bool:
        """Whether budgets are counted with the other processes now, and not by this one alone."""
        return self._everywhere.is_shared

    def opened(self, wire: Wire, request: web.Request) -> bool:
        """Count a new WebSocket to its address until somebody has signed in on it."""
        cookie = request.cookies.get(cookie_name(self._settings), "")
        wire.greeting = Greeting(client_address(request, self._proxies), cookie, request.headers.get("Origin"))
        address = address_key(wire.greeting.address)
        if self._nobody_yet[address] >= self._bounds.sockets_an_address:
            log.warning("too many sockets of one address", extra={"address": address})
            return False
        self._nobody_yet[address] += 1
        self._addresses[wire] = address
        return True

    async def connect(self, wire: Wire, auth: object) -> None:
        """Find out who this is: a bearer token, a cookie from our own pages, or nobody. Raises a Problem."""
        greeting, wire.greeting = wire.greeting, None
        assert greeting is not None
        actor = await self._identify(greeting, auth)
        if not wire.is_open:
            return
        socket = Socket(wire, replace(actor, address=greeting.address))
        if actor.user_id is None:
            most = self._bounds.sockets_an_address
            if not await self._everywhere.admits(f"a:{self._addresses.get(wire)}", most):
                raise TooMany(f"At most {most} open connections an address.")
        else:
            most = self._bounds.sockets_a_user
            self._by_user[actor.user_id].add(socket)
            is_admitted = False
            try:
                is_admitted = await self._everywhere.admits(f"u:{actor.user_id}", most)
            finally:
                if not is_admitted or not wire.is_open:
                    self._no_longer_theirs(socket)
            if not is_admitted:
                raise TooMany(f"At most {most} open connections a person.")
            self._no_longer_nobody(wire)
        if not wire.is_open:
            return
        wire.holder = socket
        self.sockets[socket.id] = socket

    def called(self, wire: Wire, call: int | None, name: str, arguments: list[object]) -> None:
        """Spend the budgets of an event and hand it to the commands."""
        socket = wire.holder
        if not isinstance(socket, Socket) or socket.is_leaving or self.on_call is None or not self.accepting:
            return
        socket.last_input = time.monotonic()
        if not self._afford(socket, name):
            self._refuse(socket, call, TooMany(retry_after_seconds=self._bounds.budget_seconds))
            if name != CANDIDATES or "video" not in socket.state:
                self._strike(socket, "candidates" if name == CANDIDATES else "events")
            return
        if socket.waiting >= self._bounds.commands_waiting + self._bounds.candidates_a_socket:
            self._refuse(socket, call, TooMany(retry_after_seconds=1))
            return
        self.on_call(socket, call, name, arguments)

    def misspoke(self, wire: Wire, call: int | None, problem: Problem) -> None:
        """Refuse what cannot be read. Where no answer is possible the connection ends."""
        socket = wire.holder
        if isinstance(socket, Socket) and call is not None:
            self._refuse(socket, call, problem)
            self._strike(socket, "unreadable")
            return
        self.dismiss(wire, "malformed", retry=False)

    def closed(self, wire: Wire) -> None:
        """Forget a socket that has ended."""
        self._no_longer_nobody(wire)
        socket = wire.holder
        if not isinstance(socket, Socket):
            return
        socket.is_leaving = True
        self.sockets.pop(socket.id, None)
        self._no_longer_theirs(socket)
        for tell in self.on_closed:
            tell(socket)

    def dismiss(self, wire: Wire, code: str, *, retry: bool, after_ms: int = 0) -> None:
        """Say why and whether to come back, and close. Nothing of any room follows."""
        socket = wire.holder
        if isinstance(socket, Socket):
            if socket.is_leaving:
                return
            socket.is_leaving = True
            for tell in self.on_closed:
                tell(socket)
        wire.say("bye", {"code": code, "retry": retry, "after_ms": after_ms, "at": rfc3339(self._clock())})
        wire.leave()

    def end_sessions(self, user_id: UserId, session_id: SessionId | None, *, besides: SessionId | None = None) -> None:
        """Close the sockets of one session, or of all sessions of a user `besides` one."""
        for socket in tuple(self._by_user.get(user_id, ())):
            its = socket.actor.session_id
            if its == session_id or (session_id is None and (besides is None or its != besides)):
                self.dismiss(socket.wire, "session-ended", retry=False)

    def end_session(self, session_id: SessionId) -> None:
        """Close the sockets of a session, whosever it is."""
        for socket in tuple(self.sockets.values()):
            if socket.actor.session_id == session_id:
                self.dismiss(socket.wire, "session-ended", retry=False)

    def sessions(self, *, with_input_within: float | None = None) -> dict[SessionId, Role | None]:
        """The sessions that have sockets here, each with the role that its people act in.

        Perhaps only those where somebody did something within these seconds.
        """
        since = 0.0 if with_input_within is None else time.monotonic() - with_input_within
        found: dict[SessionId, Role | None] = {}
        for socket in self.sockets.values():
            if socket.actor.session_id is not None and socket.last_input >= since:
                found[socket.actor.session_id] = socket.actor.role
        return found

    async def _identify(self, greeting: Greeting, auth: object) -> Actor:
        token = cast("dict[str, object]", auth).get("token") if isinstance(auth, dict) else None
        if token is not None:
            actor = await self._find_actor(token) if isinstance(token, str) and len(token) <= 200 else None
            if actor is None or actor.second_step:
                raise Unauthenticated
            if actor.scopes is not None:
                raise Forbidden("Sockets take the token of a login, not an API key.")
            return actor
        cookie = greeting.cookie
        if not cookie:
            return ANONYMOUS
        # The origin list was checked at the handshake; with a cookie there must also be one.
        if greeting.origin not in self._settings.origins:
            raise ForeignRequest("A connection with a session cookie needs its Origin header.")
        actor = await self._find_actor(cookie) if len(cookie) <= 200 else None
        # A page whose session has ended may still watch what everybody may.
        return actor if actor is not None and not actor.second_step and actor.scopes is None else ANONYMOUS

    def _afford(self, socket: Socket, name: str) -> bool:
        bounds, seconds = self._bounds, self._bounds.budget_seconds
        if name == CANDIDATES:
            return self._budgets.spend(f"c:{socket.id}", Rate(bounds.candidates_a_socket, seconds))
        if not self._budgets.spend(f"s:{socket.id}", Rate(bounds.events_a_socket, seconds)):
            return False
        user = socket.actor.user_id
        if user is None:
            return True
        return self._budgets.spend(f"u:{user}", Rate(bounds.events_a_user, seconds)) and self._everywhere.spend(
            str(user)
        )

    def _refuse(self, socket: Socket, call: int | None, problem: Problem) -> None:
        if call is not None:
            socket.wire.acknowledge(call, refusal(problem, "", rfc3339(self._clock())))

    def _strike(self, socket: Socket, kind: str) -> None:
        now = time.monotonic()
        recent = [at for at in socket.strikes[kind] if now - at < self._bounds.strikes_forgotten_seconds]
        socket.strikes[kind] = [*recent, now]
        if len(recent) + 1 >= self._bounds.strikes:
            self.dismiss(socket.wire, "rate-limited", retry=True, after_ms=self._bounds.budget_seconds * 1000)

    def _no_longer_nobody(self, wire: Wire) -> None:
        address = self._addresses.pop(wire, None)
        if address is not None:
            self._nobody_yet[address] -= 1
            if not self._nobody_yet[address]:
                del self._nobody_yet[address]
            self._everywhere.changed(f"a:{address}")

    def _no_longer_theirs(self, socket: Socket) -> None:
        user_id = socket.actor.user_id
        if user_id is None:
            return
        mine = self._by_user[user_id]
        mine.discard(socket)
        if not mine:
            del self._by_user[user_id]
        self._everywhere.changed(f"u:{user_id}")

    def _count_here(self, subject: str) -> int:
        kind, _, name = subject.partition(":")
        return self._nobody_yet.get(name, 0) if kind == "a" else len(self._by_user.get(UserId(UUID(name)), ()))

    def _subjects(self) -> list[str]:
        return [f"u:{user_id}" for user_id in self._by_user] + [f"a:{address}" for address in self._nobody_yet]


def refusal(problem: Problem, request_id: str, at: str) -> str:
    """The acknowledgement of a refused call, as JSON."""
    return compact({"ok": False, "error": problem.as_json(request_id or secrets.token_urlsafe(12)), "at": at})
