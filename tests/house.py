"""A house for tests: servers and a worker in this process, on real services, and clients that knock from outside."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
import asyncpg
from aiohttp import web

from server.accounts import AddPatient, add_patient, begin_session
from server.app import Server, open_server
from server.core.ids import UserId
from server.core.settings import Settings
from server.core.tasks import end_tasks
from server.core.tx import Tx
from worker.app import Worker, open_house

_addresses = itertools.count(1)


@dataclass(slots=True)
class Answer:
    """What came back: status, headers, and the body as JSON where it is JSON."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def text(self) -> str:
        return self.raw.decode()

    @property
    def code(self) -> str:
        """The problem's code."""
        return str(self.json["type"]).removeprefix("/problems/")


@dataclass(slots=True)
class Client:
    """Someone who calls over HTTP from an address of their own."""

    http: aiohttp.ClientSession
    base: str
    token: str = ""
    me: dict[str, Any] = field(default_factory=dict[str, Any])
    address: str = ""

    def __post_init__(self) -> None:
        number = next(_addresses)
        self.address = self.address or f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        base: str | None = None,
    ) -> Answer:
        """One request under /api/v1 (a path that begins with // is taken from the root)."""
        url = (base or self.base) + (path[1:] if path.startswith("//") else "/api/v1" + path)
        sent = {"X-Forwarded-For": self.address, **(headers or {})}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        data = raw if raw is not None else (json.dumps(body).encode() if body is not None else None)
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        async with self.http.request(method, url, data=data, headers=sent, allow_redirects=False) as response:
            return Answer(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: object) -> Answer:
        return await self.call("GET", path + ("?" + urlencode({k: str(v) for k, v in query.items()}) if query else ""))

    async def post(self, path: str, *, key: str | None = "", base: str | None = None, **body: object) -> Answer:
        """POST with a fresh Idempotency-Key unless one is given (None: without)."""
        headers = {} if key is None else {"Idempotency-Key": key or uuid4().hex}
        return await self.call("POST", path, body, headers=headers, base=base)

    async def put(self, path: str, **body: object) -> Answer:
        return await self.call("PUT", path, body)

    async def patch(self, path: str, **body: object) -> Answer:
        return await self.call("PATCH", path, body)


@dataclass(slots=True)
class House:
    """What a test holds."""

    settings: Settings
    servers: list[Server]
    bases: list[str]
    http: aiohttp.ClientSession
    owner_url: str
    worker: asyncio.Task[None] | None = None

    @property
    def base(self) -> str:
        return self.bases[0]

    @property
    def server(self) -> Server:
        return self.servers[0]

    def stranger(self) -> Client:
        """Somebody who is not signed in, with an address of their own."""
        return Client(self.http, self.base)

    async def sql(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Ask the database as its owner: what is really there."""
        conn = await asyncpg.connect(self.owner_url)
        try:
            return [dict(row) for row in await conn.fetch(query, *args)]
        finally:
            await conn.close()

    async def value(self, query: str, *args: object) -> Any:
        """The first value of the first row."""
        rows = await self.sql(query, *args)
        return next(iter(rows[0].values())) if rows else None

    async def until(self, query: str, *args: object, seconds: float = 15) -> list[dict[str, Any]]:
        """Wait until a query finds something (work that the worker does)."""
        async with asyncio.timeout(seconds):
            while True:
                rows = await self.sql(query, *args)
                if rows:
                    return rows
                await asyncio.sleep(0.05)

    async def crowd(self, count: int) -> list[Client]:
        """Signed-in patients, made by the house's own operations: forty logins would be forty password hashes."""
        database = self.server.database
        cipher = database.cipher

        async def join(tx: Tx, number: int) -> str:
            ask = AddPatient(
                email=f"crowd{number}@example.org", password_hash="x", name=f"Crowd {number}", verified=True
            )
            patient_id = await add_patient(tx, ask, cipher=cipher)
            user_id = UserId(await tx.conn.fetchval("select user_id from patients where id = $1", patient_id))
            return await begin_session(tx, user_id, second_step=False)

        people: list[Client] = []
        for number in range(count):
            client = self.stranger()
            client.token = await database.write(lambda tx, number=number: join(tx, number), source="test")
            people.append(client)
        return people

    async def log_in(self, email: str, password: str) -> Client:
        """A signed-in client."""
        client = self.stranger()
        answer = await client.post("/auth/login", key=None, email=email, password=password, token=True)
        assert answer.status == 200, answer.text
        client.token = answer.json["token"]
        client.me = (await client.get("/me")).json
        return client


@dataclass(slots=True)
class Cast:
    """The fixed cast. Vik is a patient with no business in anything of Asha's."""

    house: House
    asha: Client
    vik: Client
    dr_rao: Client
    dr_sen: Client
    mira: Client

    @classmethod
    async def sign_in(cls, house: House, password: str) -> Cast:
        """Sign the demo's people in under the names that tests call them by."""
        asha, vik, rao, sen, mira = await asyncio.gather(
            *(
                house.log_in(f"{who}@example.org", password)
                for who in ("patient1", "patient2", "doctor1", "doctor2", "admin")
            )
        )
        return cls(house, asha, vik, rao, sen, mira)

    async def slots_of(self, doctor: Client, count: int = 1, *, from_hours: float = 2) -> list[dict[str, Any]]:
        """Free slots of a doctor, the first of them at least so many hours ahead."""
        doctor_id = doctor.me["doctor_id"]
        answer = await self.house.stranger().get(f"/doctors/{doctor_id}/slots")
        assert answer.status == 200, answer.text
        earliest = datetime.now(UTC) + timedelta(hours=from_hours)  # noqa: TID251 - a test's own clock
        free = [
            slot
            for slot in answer.json["items"]
            if slot["status"] == "AVAILABLE" and datetime.fromisoformat(slot["start_time"]) > earliest
        ]
        assert len(free) >= count, "the demo doctor has too few slots"
        return free[:count]

    async def booked(self, patient: Client, doctor: Client, **rest: Any) -> dict[str, Any]:
        """A consultation that `patient` has just booked with `doctor`."""
        [slot] = await self.slots_of(doctor)
        answer = await patient.post("/consultations", slot_id=slot["id"], **rest)
        assert answer.status == 201, answer.text
        return dict(answer.json)

    async def pay(self, consultation: dict[str, Any], outcome: str = "paid") -> None:
        """End the sandbox's checkout of a consultation."""
        path = f"//dev/sandbox/{consultation['payment']['id']}"
        answer = await self.house.stranger().post(path, key=None, outcome=outcome)
        assert answer.status == 200, answer.text

    async def confirmed(self, patient: Client, doctor: Client, **rest: Any) -> dict[str, Any]:
        """A consultation that is booked and, where it costs something, paid."""
        consultation = await self.booked(patient, doctor, **rest)
        if consultation["confirmed_at"] is None:
            await self.pay(consultation)
            await self.house.until(
                "select 1 from consultations where id = $1 and confirmed_at is not null", consultation["id"]
            )
            consultation = (await patient.get(f"/consultations/{consultation['id']}")).json
        return consultation


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[tuple[Server, str]]:
    """One server on a free port."""
    async with open_server(settings) as server:
        runner = web.AppRunner(server.app, access_log=None, shutdown_timeout=2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = cast("tuple[str, int]", runner.addresses[0])[1]
        try:
            yield server, f"http://127.0.0.1:{port}"
        finally:
            await server.realtime.drain()
            await runner.cleanup()


@contextlib.asynccontextmanager
async def working(settings: Settings) -> AsyncGenerator[asyncio.Task[None]]:
    """One worker."""
    async with open_house(settings) as (database, redis, cipher):
        task = asyncio.create_task(Worker(settings, database, redis, cipher).run())
        try:
            yield task
        finally:
            await end_tasks([task])


@contextlib.asynccontextmanager
async def open_house_of(settings: Settings, owner_url: str, *, servers: int = 1) -> AsyncGenerator[House]:
    """Servers and a worker, and one HTTP session to knock with."""
    async with contextlib.AsyncExitStack() as stack:
        started = [await stack.enter_async_context(serving(settings)) for _ in range(servers)]
        worker = await stack.enter_async_context(working(settings))
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
        )
        yield House(settings, [server for server, _ in started], [base for _, base in started], http, owner_url, worker)


__all__ = ["Answer", "Cast", "Client", "House", "open_house_of", "serving", "working"]
