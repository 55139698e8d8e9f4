"""The servers of a round: each a fresh process on its own port, with the emitter that belongs to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid5

from bench.fanout.lines import Child, child
from bench.services import Services, answers, free_port, program, wait_for
from server.up.postgres import APPLICATION

PEER = Path(__file__).parent / "peer"
DATABASE = "fanout"
SPACE = UUID("6f1d2c34-7a0b-4e2f-9d55-3a1f6f0c2b11")


@dataclass(frozen=True)
class Contender:
    """Running servers of one kind, their emitter, and how a client joins a room."""

    name: str
    path: str
    origin: str
    servers: Sequence[tuple[int, int]]
    """Port and process id of each."""
    emitter: Child
    join: Callable[[int], str]
    """The Socket.IO packet with which a client joins a room."""
    doctors: Sequence[str] = ()

    async def emit(self, batches: Sequence[Sequence[tuple[int, int]]], interval: float) -> list[list[float]]:
        """Emit batches of (room, count); the moment of each event, by room, in order."""
        answer = await self.emitter.ask(batches=batches, interval=interval, doctors=self.doctors)
        moments: list[list[float]] = []
        sent: list[tuple[int, float]] = answer["sent"]
        for room, moment in sent:
            while len(moments) <= room:
                moments.append([])
            moments[room].append(moment)
        return moments


def doctor_ids(count: int) -> list[str]:
    """The doctors whose slots are watched."""
    return [str(uuid5(SPACE, str(number))) for number in range(count)]


async def make_doctors(running: Services, count: int) -> None:
    """A database of its own with the real schema, and that many verified doctors without hours."""
    await running.create_schema(DATABASE)
    rows = json.dumps([{"n": n, "id": id_} for n, id_ in enumerate(doctor_ids(count))])
    await running.sql(
        DATABASE,
        f"""
        create temp table wanted as select * from json_to_recordset('{rows}') as p (n int, id uuid);
        insert into users (id, role, email, email_hash, name, created_at)
        select id, 'DOCTOR', '', n::text::bytea, '', now() from wanted;
        insert into doctors (id, user_id, name, specialty, registration_number, fee_minor, search_text, created_at,
                             verified_at)
        select id, id, n::text, 'general', n::text, 50000, '', now(), now() from wanted;
        analyze
        """,
    )


def settings_of(running: Services, port: int) -> dict[str, str]:
    """What a server and the emitter read."""
    return {
        "AMRUTAM_DATABASE_URL": running.postgres.url(APPLICATION, DATABASE),
        "AMRUTAM_REDIS_URL": running.valkey.url,
        "AMRUTAM_PORT": str(port),
        "AMRUTAM_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "AMRUTAM_TRUSTED_PROXIES": "127.0.0.0/8",
        "AMRUTAM_POOL_MAX": "10",
    }


@contextlib.asynccontextmanager
async def ours(running: Services, rooms: int, count: int = 1) -> AsyncGenerator[Contender]:
    """This server, everything on; `make_doctors` came before. Several share one public address."""
    ports = [free_port() for _ in range(count)]
    origin = f"http://127.0.0.1:{ports[0]}"
    ids = doctor_ids(rooms)
    command = [sys.executable, "-m", "server.cli", "serve"]
    async with contextlib.AsyncExitStack() as stack:
        servers: list[tuple[int, int]] = []
        for port in ports:
            env = settings_of(running, port) | {"AMRUTAM_PUBLIC_URL": origin}
            log = running.folder / f"serve-{port}.log"
            servers.append((port, (await _started(stack, command, log, env, port)).pid))
        emitter = await stack.enter_async_context(
            child(
                [sys.executable, "-m", "bench.fanout.events"],
                running.folder / "events.log",
                settings_of(running, ports[0]),
            )
        )
        await emitter.ready()

        def join(room: int) -> str:
            return f'420["subscribe",{{"room":"slots:{ids[room]}"}}]'

        yield Contender("amrutam", "/socket.io/?EIO=4&transport=websocket", origin, servers, emitter, join, ids)


@contextlib.asynccontextmanager
async def python_socketio(running: Services, rooms: int, count: int = 1) -> AsyncGenerator[Contender]:
    """Stock python-socketio with AsyncRedisManager on aiohttp."""
    del rooms
    module = [sys.executable, "-m", "bench.fanout.stock"]
    url = running.valkey.url
    async with contextlib.AsyncExitStack() as stack:
        servers: list[tuple[int, int]] = []
        for port in [free_port() for _ in range(count)]:
            command = [*module, "serve", url, str(port)]
            servers.append((port, (await _started(stack, command, running.folder / "stock.log", {}, port)).pid))
        emitter = await stack.enter_async_context(child([*module, "emit", url], running.folder / "stock.log"))
        await emitter.ready()
        yield _peer("python-socketio", servers, emitter)


@contextlib.asynccontextmanager
async def node(running: Services, rooms: int, count: int = 1) -> AsyncGenerator[Contender]:
    """Node's socket.io 4 with @socket.io/redis-adapter; installed from its lock file where it is not yet."""
    del rooms
    if not (PEER / "node_modules").exists():
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        await asyncio.to_thread(subprocess.run, command, cwd=PEER, check=True)
    env = {"REDIS_PATH": running.valkey_socket, "NODE_ENV": "production"}
    async with contextlib.AsyncExitStack() as stack:
        servers: list[tuple[int, int]] = []
        for port in [free_port() for _ in range(count)]:
            command = ["node", str(PEER / "server.js")]
            its = env | {"PORT": str(port)}
            servers.append((port, (await _started(stack, command, running.folder / "node.log", its, port)).pid))
        emitter = await stack.enter_async_context(child(["node", PEER / "emit.js"], running.folder / "node.log", env))
        await emitter.ready()
        yield _peer("socket.io (Node)", servers, emitter)


def _peer(name: str, servers: Sequence[tuple[int, int]], emitter: Child) -> Contender:
    def join(room: int) -> str:
        return f'420["join","r{room}"]'

    origin = "http://127.0.0.1"
    return Contender(name, "/socket.io/?EIO=4&transport=websocket", origin, servers, emitter, join)


async def _started(
    stack: contextlib.AsyncExitStack, command: Sequence[str], log: Path, env: Mapping[str, str], port: int
) -> subprocess.Popen[bytes]:
    process = await stack.enter_async_context(program(command, log, env))
    await wait_for(lambda: answers(port), process)
    return process
