"""Who asks: the session and the budget in one trip to Redis; PostgreSQL is the truth and answers when Redis cannot."""

from __future__ import annotations

import functools
import hashlib
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from aiohttp import web
from redis.asyncio import Redis

from server.core.clock import Clock
from server.core.database import Database
from server.core.edge.calls import Call, Sessions, csrf_token
from server.core.errors import ForeignRequest, TooMany
from server.core.ids import DoctorId, PatientId, SessionId, UserId, user_tag
from server.core.limits import Budget, Limits, address_key
from server.core.settings import Settings
from server.core.tx import ANONYMOUS, Actor, Role
from server.core.valkey import REDIS_AWAY

CACHED_SECONDS = 60
_TOKEN = re.compile(r"([0-9a-f]{8})\.[A-Za-z0-9_-]{40,64}")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


def cookie_name(settings: Settings) -> str:
    """`__Host-amrutam` over https; plain-http loopback cannot have it."""
    return "__Host-amrutam" if settings.secure_cookies else "amrutam"


def sessions_key(tag: str) -> str:
    """The Redis hash of a user's cached sessions: deleted whole when any of them ends."""
    return f"amrutam:s:{{{tag}}}"


class Identity:
    """Finds the actor of a call and spends the call's budget."""

    def __init__(
        self, settings: Settings, clock: Clock, redis: Redis, limits: Limits, database: Database, sessions: Sessions
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._redis = redis
        self._limits = limits
        self._database = database
        self._sessions = sessions

    async def establish(self, request: web.Request, call: Call, budget: Budget) -> None:
        """Fill in the call's actor, token and CSRF token. Raises TooMany beyond the budget."""
        call.budget = budget.name
        call.token, call.by_cookie = self._token_of(request)
        match = _TOKEN.fullmatch(call.token)
        if match is not None:
            call.actor = await self._signed_in(call, match[1], budget)
        if call.actor.user_id is None:
            call.actor = Actor(address=call.address)
            call.token = ""
            call.spent = await self._limits.spend(
                f"amrutam:l:{{{address_key(call.address)}}}:{budget.name}", self._limits.rate(budget, user=False)
            )
        elif call.by_cookie:
            call.csrf_token = csrf_token(self._settings, call.token)
        if call.spent is not None and not call.spent.allowed:
            raise TooMany(retry_after_seconds=max(1, round(call.spent.retry_after_seconds + 0.5)))

    async def find(self, token: str) -> Actor | None:
        """The actor of a token, from the cache or the database: for the handshake of sockets."""
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        try:
            cached = await self._redis.hget(sessions_key(match[1]), _digest(token).hex())
        except REDIS_AWAY:
            cached = None
        actor = self._from_cache(cached, "") if cached else None
        return actor or await self._from_database(token, match[1])

    def refuse_foreign(self, request: web.Request, call: Call, form_token: str | None) -> None:
        """Unsafe methods must come from our own pages (SECURITY E1). Raises ForeignRequest."""
        if request.method in SAFE_METHODS:
            return
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._settings.origins:
            raise ForeignRequest("The Origin header names another site.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise ForeignRequest("The browser says that another site asks.")
        if call.actor.user_id is None or not call.by_cookie:
            return
        if origin is None:
            raise ForeignRequest("A request with a session cookie needs its Origin header.")
        given = request.headers.get("X-CSRF-Token") or form_token or ""
        if given != call.csrf_token:
            raise ForeignRequest("The CSRF token is missing or not this session's.")

    async def forget(self, call: Call) -> None:
        """Drop this caller's cached sessions at once (logout, step-up)."""
        if call.actor.user_id is not None:
            try:
                await self._redis.unlink(sessions_key(user_tag(call.actor.user_id)))
            except REDIS_AWAY:
                return

    def _token_of(self, request: web.Request) -> tuple[str, bool]:
        authorization = request.headers.get("Authorization", "")
        if authorization.startswith("Bearer "):
            return authorization[7:].strip(), False
        return request.cookies.get(cookie_name(self._settings), ""), True

    async def _signed_in(self, call: Call, tag: str, budget: Budget) -> Actor:
        rate = self._limits.rate(budget, user=True)
        limit_key = f"amrutam:l:{{{tag}}}:{budget.name}"
        try:
            found = await self._limits.session_and_spend(sessions_key(tag), _digest(call.token).hex(), limit_key, rate)
        except REDIS_AWAY:
            found = None
        if found is not None:
            actor = self._from_cache(found[0], call.address)
            if actor is not None:
                call.spent = found[1]
                return actor
        actor = await self._from_database(call.token, tag)
        if actor is None:
            return ANONYMOUS
        call.spent = await self._limits.spend(limit_key, rate)
        return replace(actor, address=call.address)

    async def _from_database(self, token: str, tag: str) -> Actor | None:
        digest = _digest(token)
        actor = await self._database.write(lambda tx: self._sessions.find(tx, digest), source="session")
        if actor is None or actor.user_id is None or user_tag(actor.user_id) != tag:
            return None
        try:
            key = sessions_key(tag)
            pipe = self._redis.pipeline(transaction=False)
            pipe.hset(key, digest.hex(), self._to_cache(actor))
            pipe.expire(key, CACHED_SECONDS)
            await pipe.execute()
        except REDIS_AWAY:
            return actor
        return actor

    def _to_cache(self, actor: Actor) -> str:
        until = self._clock() + timedelta(seconds=CACHED_SECONDS)
        held: dict[str, object] = {
            "until": until.timestamp(),
            "role": actor.role,
            "user": str(actor.user_id),
            "patient": str(actor.patient_id) if actor.patient_id else None,
            "n": actor.patient_n,
            "doctor": str(actor.doctor_id) if actor.doctor_id else None,
            "session": str(actor.session_id),
            "second": actor.second_step,
            "auth": actor.auth_at.isoformat() if actor.auth_at else None,
            "language": actor.language,
            "zone": actor.time_zone,
        }
        return json.dumps(held)

    def _from_cache(self, cached: bytes | str, address: str) -> Actor | None:
        until, actor = _read(cached, address)
        return None if until < self._clock().timestamp() else actor


@functools.lru_cache(maxsize=4096)  # who asks once asks again
def _read(cached: bytes | str, address: str) -> tuple[float, Actor]:
    held = json.loads(cached)
    return held["until"], Actor(
        role=Role(held["role"]),
        user_id=UserId(UUID(held["user"])),
        patient_id=PatientId(UUID(held["patient"])) if held["patient"] else None,
        patient_n=held["n"],
        doctor_id=DoctorId(UUID(held["doctor"])) if held["doctor"] else None,
        session_id=SessionId(UUID(held["session"])),
        second_step=held["second"],
        auth_at=datetime.fromisoformat(held["auth"]) if held["auth"] else None,
        language=held["language"],
        time_zone=held["zone"],
        address=address,
    )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
