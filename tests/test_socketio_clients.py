"""Socket.IO clients as others publish them: npm's socket.io-client 4 and python-socketio, unmodified."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, cast

import pytest
import socketio

from tests.house import Cast, Client, House
from tests.test_delivery import change_slots, slots_of

HERE = Path(__file__).parent / "node"
WEBSOCKET: dict[str, object] = {"transports": ["websocket"]}


@pytest.fixture(scope="session")
def node_client() -> Path:
    """The folder with the script and npm's socket.io-client beside it; installed once for each lock file."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        if os.environ.get("CI"):  # noqa: TID251 - not a setting of the product
            pytest.fail("node and npm are missing: CI tries npm's socket.io-client too")
        pytest.skip("node and npm are missing: npm's socket.io-client is not tried here")
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(HERE.glob("*.*")))).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"amrutam-node-{os.getuid()}-{digest}"
    if not (folder / "done").exists():
        fresh = Path(tempfile.mkdtemp(prefix="amrutam-node-", dir=folder.parent))
        for path in HERE.glob("*.*"):
            shutil.copy(path, fresh)
        subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=fresh, check=True, capture_output=True, timeout=100)
        (fresh / "done").touch()
        with contextlib.suppress(OSError):  # another run was quicker
            fresh.rename(folder)
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


class Node:
    """A node process with one socket."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def heard(self, on: str) -> dict[str, Any]:
        """The next thing of this kind; what comes before it is passed over."""
        assert self._process.stdout is not None
        async with asyncio.timeout(15):
            while line := await self._process.stdout.readline():
                said = json.loads(line)
                if said["on"] == on:
                    return dict(said)
        raise AssertionError(f"the client ended before {on}")

    async def tell(self, **line: object) -> None:
        """Give the process something to do."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line).encode() + b"\n")
        await self._process.stdin.drain()

    async def call(self, name: str, **fields: object) -> dict[str, Any]:
        """A call, and its acknowledgement."""
        await self.tell(call=name, fields=fields)
        return dict((await self.heard("answer"))["answer"])


@contextlib.asynccontextmanager
async def node(folder: Path, base: str, **options: object) -> AsyncGenerator[Node]:
    """A running node client."""
    process = await asyncio.create_subprocess_exec(
        "node",
        "watch.mjs",
        base,
        json.dumps(options),
        cwd=folder,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        yield Node(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def test_npms_client_subscribes_receives_and_resumes(node_client: Path, house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    async with node(node_client, house.base, **WEBSOCKET) as client:
        await client.heard("connect")
        first = await client.call("subscribe", room=room)
        assert first["ok"] is True
        assert first["snapshot"]["slots"]
        await change_slots(house, room)
        event = (await client.heard("event"))["data"]
        assert (event["room"], event["type"], event["offset"]) == (room, "slot.changed", first["offset"] + 1)
        await client.tell(drop=True)
        await client.heard("disconnect")
        await change_slots(house, room, 2)
        await client.heard("connect")
        again = await client.call("subscribe", room=room, since=event["offset"])
        assert [missed["offset"] for missed in again["events"]] == [event["offset"] + 1, event["offset"] + 2]
        await change_slots(house, room)
        assert (await client.heard("event"))["data"]["offset"] == event["offset"] + 3


async def test_npms_client_signs_in_and_is_told_what_is_wrong(node_client: Path, house: House, cast: Cast) -> None:
    async with node(node_client, house.base, auth={"token": cast.asha.token}, **WEBSOCKET) as client:
        await client.heard("connect")
        assert (await client.call("subscribe", room=f"user:{cast.asha.me['id']}"))["ok"] is True
        for name, fields, code in (
            ("subscribe", {"room": f"user:{cast.vik.me['id']}"}, "not-found"),
            ("subscribe", {"room": 7}, "invalid"),
            ("no.such.call", {}, "unknown-event"),
        ):
            refused = await client.call(name, **fields)
            assert refused["ok"] is False
            assert refused["error"]["type"] == f"/problems/{code}"
            assert refused["error"]["request_id"]


async def test_npms_client_that_begins_with_polling_is_told_what_to_set(node_client: Path, house: House) -> None:
    async with node(node_client, house.base) as client:
        refused = await client.heard("connect_error")
        assert 'transports: ["websocket"]' in refused["message"] + json.dumps(refused["data"]).replace('\\"', '"')


@contextlib.asynccontextmanager
async def python_client(client: Client, **options: object) -> AsyncGenerator[tuple[Any, asyncio.Queue[dict[str, Any]]]]:
    """python-socketio's own client, and the events that it hears."""
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    make = cast("Any", socketio.AsyncClient)
    sio: Any = make(reconnection_delay=0.1, reconnection_delay_max=0.3)
    sio.on("event", heard.put)
    await sio.connect(client.base, headers={"X-Forwarded-For": client.address}, **options)
    try:
        yield sio, heard
    finally:
        await sio.shutdown()


async def test_pythons_client_subscribes_receives_and_resumes(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_sen)
    auth = {"token": cast.asha.token}
    async with python_client(cast.asha, auth=auth, transports=["websocket"]) as (sio, heard):
        back = asyncio.Event()
        sio.on("connect", back.set)
        first = await sio.call("subscribe", {"room": room}, timeout=5)
        assert first["snapshot"]["slots"]
        await change_slots(house, room)
        async with asyncio.timeout(10):
            event = await heard.get()
        assert event["offset"] == first["offset"] + 1
        refused = await sio.call("subscribe", {"room": "ops"}, timeout=5)
        assert (refused["ok"], refused["error"]["type"]) == (False, "/problems/not-found")
        await sio.eio.ws.close()  # the network goes away; the client comes back by itself
        await change_slots(house, room, 2)
        async with asyncio.timeout(10):
            await back.wait()
        again = await sio.call("subscribe", {"room": room, "since": event["offset"]}, timeout=5)
        assert [missed["offset"] for missed in again["events"]] == [event["offset"] + 1, event["offset"] + 2]
        await change_slots(house, room)
        async with asyncio.timeout(10):
            assert (await heard.get())["offset"] == event["offset"] + 3
