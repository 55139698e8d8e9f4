"""Fan-out: what a connection costs, what is written when, and the ground that both stand on."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import hashlib
import json
import os
import socket
import tracemalloc
from collections import Counter
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from realtime import Realtime
from realtime.delivery.limits import Bounds
from server.core.valkey import connect_redis
from tests.house import Cast, House
from tests.test_delivery import change_slots, slots_of

BROWSER = (
    "Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
    "Safari/537.36\r\nUpgrade: websocket\r\nOrigin: {origin}\r\nSec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: hi-IN,hi;q=0.9,en;q=0.8\r\n"
    "Cookie: language=hi; theme=light\r\nSec-WebSocket-Key: {key}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
HANDSHAKE = (
    "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\n" + BROWSER
)
KB_A_CONNECTION = 8.0


def frame(text: str) -> bytes:
    """A client's text frame; its mask is zero."""
    payload = text.encode()
    length = len(payload)
    head = bytes((0x81, 0x80 | length)) if length < 126 else bytes((0x81, 0xFE)) + length.to_bytes(2, "big")
    return head + bytes(4) + payload


class Bare:
    """A socket without any client library."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""

    async def hear(self) -> tuple[int, bytes]:
        """The next frame: its first byte and its payload."""
        async with asyncio.timeout(10):
            first, length = await self.reader.readexactly(2)
            assert length < 0x80, "a server does not mask"
            if length >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
            return first, await self.reader.readexactly(length)

    async def ask(self, text: str) -> str:
        self.writer.write(frame(text))
        first, payload = await self.hear()
        assert first == 0x81
        return payload.decode()


@contextlib.asynccontextmanager
async def bare(house: House, address: str = "10.200.0.1", *, base: str = "") -> AsyncGenerator[Bare]:
    """Connected as a browser does; Engine.IO's opening words are heard."""
    where = urlsplit(base or house.base)
    reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=1 << 22)
    key = base64.b64encode(os.urandom(16)).decode()
    asked = HANDSHAKE.format(host=where.netloc, address=address, origin=house.settings.public_url, key=key)
    writer.write(asked.encode())
    client = Bare(reader, writer)
    try:
        client.head = await reader.readuntil(b"\r\n\r\n")
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        assert accept in client.head
        first, opened = await client.hear()
        assert first == 0x81
        assert opened.startswith(b'0{"sid":')
        yield client
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def watch(client: Bare, room: str) -> None:
    assert (await client.ask("40")).startswith('40{"sid":')
    assert (await client.ask(f'420["subscribe",{{"room":"{room}"}}]')).startswith('430[{"ok":true')


async def test_compression_is_never_agreed_to_and_frames_are_whole_and_numbered(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    async with bare(house) as client:
        assert b"extensions" not in client.head.lower()
        await watch(client, room)
        await change_slots(house, room, 3)
        numbers: list[int] = []
        for _ in range(3):
            first, payload = await client.hear()
            assert first == 0x81  # one final text frame, no reserved bit
            name, event = json.loads(payload.removeprefix(b"42"))
            assert name == "event"
            numbers.append(event["offset"])
        assert numbers == list(range(numbers[0], numbers[0] + 3))


async def test_nothing_of_its_request_lives_on_beside_a_socket(house: House, cast: Cast) -> None:
    """The ground: a new aiohttp, python-engineio or python-socketio that keeps more for a connection is noticed."""
    room, count = slots_of(cast.dr_rao), 100
    async with contextlib.AsyncExitStack() as stack:
        for number in range(10):  # what is made once is made now
            await watch(await stack.enter_async_context(bare(house, f"10.201.0.{number + 1}")), room)
        tasks, kinds = await settled()
        clients = [await stack.enter_async_context(bare(house, f"10.202.0.{n + 1}")) for n in range(count)]
        for client in clients:
            await watch(client, room)
        more, kinds_now = await settled()
        assert more == tasks
        grown = {name for name, now in kinds_now.items() if now - kinds[name] >= count}
        assert not grown & {"Request", "RequestHandler", "HttpRequestParser", "RawRequestMessage", "Queue", "coroutine"}
        assert "Wire" in grown
        assert all(wire.is_connected for wire in house.server.realtime.server.wires)
        await change_slots(house, room)
        for client in clients:
            assert b"slot.changed" in (await client.hear())[1]
    async with asyncio.timeout(10):
        await house.server.realtime.server.emptied()


async def settled() -> tuple[int, Counter[str]]:
    """Tasks and objects by type, once what the handshakes began has ended."""
    await asyncio.sleep(0.3)
    gc.collect()
    return len(asyncio.all_tasks()), Counter(type(thing).__name__ for thing in gc.get_objects())


async def test_a_connection_costs_a_few_kilobytes(house: House, cast: Cast) -> None:
    room, count = slots_of(cast.dr_rao), 100
    where = urlsplit(house.base)
    assert where.hostname is not None
    assert where.port is not None
    links: list[socket.socket] = []
    loop = asyncio.get_running_loop()

    async def connect(number: int) -> None:
        link = socket.socket()
        link.setblocking(False)
        await loop.sock_connect(link, (where.hostname, where.port))
        key = base64.b64encode(os.urandom(16)).decode()
        origin = house.settings.public_url
        asked = HANDSHAKE.format(host=where.netloc, address=f"10.203.0.{number}", origin=origin, key=key)
        for text in (asked.encode(), frame("40"), frame(f'420["subscribe",{{"room":"{room}"}}]')):
            await loop.sock_sendall(link, text)
            assert await loop.sock_recv(link, 1 << 20)
        links.append(link)

    for number in range(10):
        await connect(number)
    tracemalloc.start(1)
    try:
        await asyncio.sleep(0.3)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(count):
            await connect(number)
        await asyncio.sleep(0.3)
        gc.collect()
        held = (tracemalloc.get_traced_memory()[0] - before) / count / 1000
    finally:
        tracemalloc.stop()
        for link in links:
            link.close()
    assert held < KB_A_CONNECTION, f"{held:.1f} kB a connection"


@contextlib.asynccontextmanager
async def sockets_alone(house: House, bounds: Bounds) -> AsyncGenerator[tuple[str, Realtime]]:
    """One more server, for sockets alone, with bounds of its own."""
    database, redis = house.server.database, connect_redis(house.settings)

    async def nobody(token: str) -> None:
        del token

    sockets = Realtime(
        house.settings,
        database=database,
        redis=redis,
        publisher=database.publisher,
        cipher=database.cipher,
        find_actor=nobody,
        bounds=bounds,
    )
    app = web.Application()
    sockets.mount(app)
    await sockets.start()
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", sockets
    finally:
        await runner.cleanup()
        await sockets.stop()
        await redis.aclose()


async def test_a_client_that_never_reads_costs_bounded_memory_and_is_cut(house: House, cast: Cast) -> None:
    room = slots_of(cast.dr_rao)
    async with sockets_alone(house, Bounds(backlog_seconds=1)) as (base, sockets):  # noqa: SIM117 - base comes first
        async with bare(house, "10.204.0.1", base=base) as deaf, bare(house, "10.204.0.2", base=base) as reader:
            await watch(deaf, room)
            await watch(reader, room)
            slow, _ = sorted(sockets.feeds.members(room), key=lambda socket: socket.actor.address)
            deaf_side = deaf.writer.transport
            assert isinstance(deaf_side, asyncio.Transport)
            deaf_side.pause_reading()
            for _ in range(200):  # 40 MB
                sockets.feeds.tell_here(room, "filler", {"x": "a" * 200_000}, sockets.feeds.members(room))
                _, payload = await reader.hear()
                assert len(payload) > 200_000
                assert slow.wire.backlog < 1_000_000
            assert slow.slow_since is not None
            async with asyncio.timeout(5):
                while slow.wire.is_open:  # noqa: ASYNC110 - nobody is told of a single socket's end
                    await asyncio.sleep(0.05)
            assert sockets.feeds.members(room) != [slow]
            await change_slots(house, room)
            assert b"slot.changed" in (await reader.hear())[1]


async def test_who_answers_heartbeats_stays_and_who_does_not_is_cut(house: House) -> None:
    bounds = Bounds(ping_seconds=1, pong_seconds=1)
    async with sockets_alone(house, bounds) as (base, _):  # noqa: SIM117 - base comes first
        async with bare(house, "10.205.0.1", base=base) as alive, bare(house, "10.205.0.2", base=base) as dead:
            for client in (alive, dead):
                assert (await client.ask("40")).startswith("40{")
            for _ in range(3):
                assert await alive.hear() == (0x81, b"2")
                alive.writer.write(frame("3"))
            assert await dead.hear() == (0x81, b"2")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await dead.hear()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\xc1\x80\0\0\0\0", 1002),  # a reserved bit: compression that was not agreed to
        (b"\x81\x0240", 1002),  # not masked
        (b"\x83\x80\0\0\0\0", 1002),  # a reserved opcode
        (b"\x09\x80\0\0\0\0", 1002),  # a ping in parts
        (b"\x89\xfe\x00\x80" + bytes(132), 1002),  # a ping of 128 bytes
        (b"\x80\x80\0\0\0\0", 1002),  # a continuation of nothing
        (b"\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 1002),  # a message within a message
        (b"\x88\x81\0\0\0\0x", 1002),  # half a close code
        (b"\x81\x82\0\0\0\0\xc3\x28", 1007),
        (b"\x81\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 1009),  # 2 GB to come
        (b"\x01\xfe\x60\0\0\0\0\0" + b"4" * 0x6000 + b"\x80\xfe\x60\0\0\0\0\0", 1009),  # 48 kB in two parts
    ],
)
async def test_what_is_no_websocket_is_closed_with_its_code_and_others_go_on(
    house: House, cast: Cast, sent: bytes, code: int
) -> None:
    room = slots_of(cast.dr_rao)
    async with bare(house, "10.206.0.1") as other, bare(house, "10.206.0.2") as client:
        await watch(other, room)
        client.writer.write(sent)
        assert await client.hear() == (0x88, code.to_bytes(2, "big"))
        client.writer.write(b"\x88\x82\0\0\0\0" + code.to_bytes(2, "big"))
        async with asyncio.timeout(2):
            assert await client.reader.read() == b""
        await change_slots(house, room)
        assert b"slot.changed" in (await other.hear())[1]


async def test_pings_are_answered_and_a_close_is_answered_and_ends(house: House) -> None:
    async with bare(house) as client:
        client.writer.write(b"\x89\x83\x01\x02\x03\x04" + bytes((ord("a") ^ 1, ord("b") ^ 2, ord("c") ^ 3)))
        assert await client.hear() == (0x8A, b"abc")
        client.writer.write(b"\x88\x82\0\0\0\0\x03\xe9")
        assert await client.hear() == (0x88, b"\x03\xe9")
        async with asyncio.timeout(2):
            assert await client.reader.read() == b""


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (("EIO=4", "EIO=3"), 400),
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 400),
        (("Upgrade: websocket", "Upgrade: h2c"), 400),
        (("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x"), 400),
        (("Origin: http", "Origin: https://evil.example#http"), 403),
    ],
)
async def test_a_handshake_that_is_none_gets_a_problem_and_the_connection_goes_on(
    house: House, change: tuple[str, str], status: int
) -> None:
    where = urlsplit(house.base)
    key = base64.b64encode(bytes(16)).decode()
    asked = HANDSHAKE.format(host=where.netloc, address="10.207.0.1", origin=house.settings.public_url, key=key)
    assert change[0] in asked
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    for _ in range(2):
        writer.write(asked.replace(*change).encode())
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
            problem = json.loads(await reader.readexactly(length))
        assert head.startswith(f"HTTP/1.1 {status}".encode())
        assert problem["status"] == status
    writer.close()
