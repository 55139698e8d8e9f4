"""This server as it is run: one server process and one worker, 64 patients signed in, with everything switched on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote, urlencode

from bench.booking.plan import CLIENTS, Slot
from bench.load import Connection, connect, request
from bench.services import Services, answers, cpu_seconds, free_port, program, wait_for

API = "/api/v1"
WINDOW_DAYS = 30
WINDOWS = 2
SETTLE_SECONDS = 180
IDLE_SHARE = 0.15


@dataclass(frozen=True)
class Ours:
    """The running server, its patients' sessions and the free slots of doctors who ask a fee."""

    port: int
    pids: Sequence[int]
    tokens: Sequence[str]
    slots: Sequence[Slot]

    def booking(self, client: int, slot: Slot) -> bytes:
        """The request with which that patient books the slot."""
        headers = _from(client) | {
            "Authorization": f"Bearer {self.tokens[client]}",
            "Idempotency-Key": secrets.token_urlsafe(16),
        }
        return request("POST", f"{API}/consultations", self.port, {"slot_id": slot.id, "reason": "Cough"}, headers)


@contextlib.asynccontextmanager
async def ours(running: Services, pool: int) -> AsyncGenerator[Ours]:
    """Make the schema and the demo, start server and worker, sign 64 patients in."""
    port = free_port()
    env = {
        "AMRUTAM_DATABASE_URL": running.postgres.app_url,
        "AMRUTAM_MIGRATE_URL": running.postgres.owner_url,
        "AMRUTAM_REDIS_URL": running.valkey.url,
        "AMRUTAM_DEMO": "true",
        "AMRUTAM_DEMO_PASSWORD": secrets.token_urlsafe(16),
        "AMRUTAM_PORT": str(port),
        "AMRUTAM_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "AMRUTAM_TRUSTED_PROXIES": "127.0.0.0/8",
        "AMRUTAM_LIMIT_FACTOR": "1000",
        "AMRUTAM_POOL_MAX": str(pool),
    }
    for once in ("migrate", "seed-demo"):
        async with program(_command(once), running.folder / f"{once}.log", env) as child:
            if await asyncio.to_thread(child.wait, 120) != 0:
                raise ChildProcessError(f"{once} ended with {child.returncode}")
    async with (
        program(_command("serve"), running.folder / "serve.log", env) as server,
        program(_command("worker"), running.folder / "worker.log", env) as worker,
    ):
        await wait_for(lambda: answers(port), server)
        (link,) = await connect(port, 1)
        try:
            tokens = [await _signed_in(link, port, client) for client in range(CLIENTS)]
            await _settled(server, worker)
            slots = await _free_slots(link, port)
            await running.sql("amrutam", "analyze")  # as autovacuum does within a minute, and the others have it too
        finally:
            link.close()
        yield Ours(port, [server.pid, worker.pid], tokens, slots)
        _still_running(server, worker)


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "server.cli", name]


def _from(client: int) -> dict[str, str]:
    # An address each, from the range for documentation and benchmarks (RFC 2544).
    return {"X-Forwarded-For": f"198.18.{client // 250}.{client % 250 + 1}"}


async def _signed_in(link: Connection, port: int, client: int) -> str:
    email, password = f"bench{client}@example.org", secrets.token_urlsafe(16)
    account = {"email": email, "password": password, "name": f"Patient {client}"}
    await _ask(link, "POST", f"{API}/auth/register", port, account, _from(client))
    login = {"email": email, "password": password, "token": True}
    return str((await _ask(link, "POST", f"{API}/auth/login", port, login, _from(client)))["token"])


async def _free_slots(link: Connection, port: int) -> list[Slot]:
    free: list[Slot] = []
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=2)  # noqa: TID251 - the servers' own clock
    listed = (await _ask(link, "GET", f"{API}/doctors", port))["items"]
    for doctor in (doctor for doctor in listed if doctor["fee"] > 0):
        for window in range(WINDOWS):
            first = begin + timedelta(days=window * WINDOW_DAYS)
            query = urlencode({"from": first.isoformat(), "to": (first + timedelta(days=WINDOW_DAYS)).isoformat()})
            path = f"{API}/doctors/{quote(doctor['id'])}/slots?{query}"
            items = (await _ask(link, "GET", path, port))["items"]
            free += [Slot(s["id"], s["doctor_id"], s["start_time"]) for s in items if s["status"] == "AVAILABLE"]
    return list({slot.id: slot for slot in free}.values())


async def _ask(
    link: Connection,
    method: str,
    path: str,
    port: int,
    body: object | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    answer = await link.ask(request(method, path, port, body, headers))
    if answer.status >= 300:
        raise ValueError(f"{method} {path}: {answer.status} {answer.body[:500]!r}")
    return cast("dict[str, Any]", answer.json())


async def _settled(*children: subprocess.Popen[bytes]) -> None:
    """Wait until slots are made and mails written: all of it idle for two seconds. Raises TimeoutError."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while True:
            before = sum(cpu_seconds(child.pid) for child in children)
            await asyncio.sleep(2)
            if sum(cpu_seconds(child.pid) for child in children) - before < IDLE_SHARE * 2:
                return


def _still_running(*children: subprocess.Popen[bytes]) -> None:
    for child in children:
        if child.poll() is not None:
            raise ChildProcessError(f"{child.args} ended with {child.returncode}")
