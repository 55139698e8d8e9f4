"""What is written straight to a socket keeps one order with what goes by its transport, on both loops and by TLS."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop
from aiohttp import web

from realtime.delivery.connections import Socket
from realtime.delivery.fanout import Fanout
from realtime.delivery.frames import event_frame
from realtime.delivery.limits import Bounds
from realtime.delivery.socketio_server import SocketServer, Wire
from server.core.clock import shifted_clock
from server.core.errors import Problem
from server.core.tx import ANONYMOUS
from server.up import open_folder
from server.up.tls import own_certificate
from tests.test_fanout import HANDSHAKE, Bare, frame

BOUNDS = Bounds(backlog_bytes=16 * 1024 * 1024)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Everybody:
    """Takes whoever comes."""

    sockets: list[Socket] = field(default_factory=lambda: list[Socket]())
    ended: list[Wire] = field(default_factory=lambda: list[Wire]())

    def opened(self, wire: Wire, request: web.Request) -> bool:
        del wire, request
        return True

    async def connect(self, wire: Wire, auth: object) -> None:
        del auth
        self.sockets.append(Socket(wire, ANONYMOUS))

    def called(self, wire: Wire, call: int | None, name: str, arguments: list[object]) -> None:
        raise AssertionError("nobody calls")

    def misspoke(self, wire: Wire, call: int | None, problem: Problem) -> None:
        raise AssertionError("nobody misspeaks")

    def closed(self, wire: Wire) -> None:
        self.ended.append(wire)


@dataclass
class Stage:
    """A socket server with everybody admitted, and the fan-out to them."""

    port: int
    everybody: Everybody
    fanout: Fanout
    trust: ssl.SSLContext | None

    @contextlib.asynccontextmanager
    async def client(self, *, reads_little: bool = False) -> AsyncGenerator[tuple[Bare, Socket]]:
        """A client that has sent CONNECT, and its socket here."""
        link = socket.socket()
        if reads_little:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.setblocking(False)
        await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", self.port))
        name = "127.0.0.1" if self.trust is not None else None
        reader, writer = await asyncio.open_connection(sock=link, ssl=self.trust, server_hostname=name, limit=1 << 16)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = HANDSHAKE.format(host=f"127.0.0.1:{self.port}", address="10.210.0.1", origin="http://here", key=key)
        writer.write(asked.encode())
        await reader.readuntil(b"\r\n\r\n")
        client = Bare(reader, writer)
        assert (await client.hear())[1].startswith(b"0{")
        writer.write(frame("40"))
        assert (await client.hear())[1].startswith(b"40{")
        try:
            yield client, self.everybody.sockets[-1]
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Where a certificate can be made: a folder that every account may enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "data"


@contextlib.asynccontextmanager
async def stage(certificate: Path | None) -> AsyncGenerator[Stage]:
    """The socket server alone on a port; with a folder to make a certificate in, by TLS."""
    serving, trust = None, None
    if certificate is not None:
        made = own_certificate(open_folder(certificate), datetime.now(UTC))  # noqa: TID251 - the world's clock
        serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        serving.load_cert_chain(made.cert, made.key)
        trust = ssl.create_default_context(cafile=str(made.authority))
    everybody = Everybody()
    server = SocketServer(everybody, frozenset({"http://here"}), BOUNDS)
    app = web.Application()
    server.mount(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()
    try:
        yield Stage(runner.addresses[0][1], everybody, Fanout(shifted_clock(0), BOUNDS), trust)
    finally:
        await server.shutdown()
        await runner.cleanup()


Play = Callable[[Stage], Awaitable[None]]


def run(play: Play, loop: str, certificate: Path | None = None) -> None:
    """Play on a loop of this kind."""

    async def whole() -> None:
        async with asyncio.timeout(30), stage(certificate) as there:
            await play(there)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(whole())


def numbered(number: int, size: int = 100) -> bytes:
    """An event's frame that says its number."""
    return event_frame(f'{{"n":{number},"x":"{"a" * size}"}}')


async def in_one_order(there: Stage) -> None:
    async with there.client() as (client, taken):
        assert (taken.wire.fd >= 0) == (there.trust is None)
        for turn in range(3):
            there.fanout.write(numbered(turn), [taken])
            taken.wire.acknowledge(turn, '{"ok":true}')
            there.fanout.write(numbered(turn) + numbered(turn), [taken])
            await asyncio.sleep(0)
        for turn in range(3):
            said = [(await client.hear())[1] for _ in range(4)]
            assert [text.startswith(b'42["event"') for text in said] == [True, False, True, True]
            assert said[0] == said[2] == said[3] == numbered(turn)[-len(said[0]) :]
            assert said[1] == f'43{turn}[{{"ok":true}}]'.encode()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("tls", [False, True])
def test_events_and_acknowledgements_come_in_the_order_they_were_said(data: Path, loop: str, *, tls: bool) -> None:
    run(in_one_order, loop, data if tls else None)


async def whole_and_in_order(there: Stage) -> None:
    count, size = 60, 100_000
    async with there.client(reads_little=True) as (client, taken):
        for number in range(count):
            there.fanout.write(numbered(number, size), [taken])
            if number % 7 == 0:
                await asyncio.sleep(0)
        assert taken.wire.backlog > 0
        for number in range(count):
            _, payload = await client.hear()
            assert payload == numbered(number, size)[-len(payload) :]
        assert taken.wire.backlog == 0
        there.fanout.write(numbered(count), [taken])
        assert f'"n":{count}'.encode() in (await client.hear())[1]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_socket_takes_in_pieces_arrives_whole_and_in_order(loop: str) -> None:
    run(whole_and_in_order, loop)


async def quietly_gone(there: Stage) -> None:
    async with there.client() as (client, gone), there.client() as (other, here):
        link = client.writer.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        for number in range(200):  # until the reset is noticed, and after it
            there.fanout.write(numbered(number), [gone, here])
            assert f'"n":{number}'.encode() in (await other.hear())[1]
        assert there.everybody.ended == [gone.wire]
        assert gone.wire.fd == -1
        gone.wire.cut()
        here.wire.leave()
        there.fanout.write(numbered(0), [gone, here])
        assert await other.hear() == (0x81, b"1")
        assert (await other.hear())[0] == 0x88  # CLOSE, and nothing of a room in between


@pytest.mark.parametrize("loop", LOOPS)
def test_a_connection_that_breaks_under_a_write_ends_alone(loop: str) -> None:
    run(quietly_gone, loop)
