"""A body that comes byte by byte is waited for so long, and then its connection is closed (SECURITY Q2)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import time
from dataclasses import dataclass

import pytest

from server.core.settings import Settings, read_settings
from tests.conftest import PASSWORD
from tests.house import Cast, House, open_house_of

SECONDS = 1.0
BETWEEN_SECONDS = 0.03
KINDS = {
    "json": ("/api/v1/auth/login", "application/json", b'{"email": "' + b"a" * 5_000),
    "form": ("/login", "application/x-www-form-urlencoded", b"email=" + b"a" * 5_000),
    "signed": ("/api/v1/payments/webhooks/sandbox", "application/json", b'{"id": "' + b"a" * 5_000),
    "upload": ("", "multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; " + b"a" * 5_000),
}


@dataclass
class Slow:
    """What became of a request whose body never ends."""

    answer: bytes
    seconds: float
    sent: int


async def dribble(base: str, head: bytes, body: bytes, *, chunked: bool) -> Slow:
    """Send a byte, wait, send the next, until the server closes the connection."""
    host, _, port = base.removeprefix("http://").partition(":")
    loop = asyncio.get_running_loop()
    # A bare socket: what was answered before the connection was cut can still be read from it, also by who was writing.
    with socket.create_connection((host, int(port))) as connection:
        connection.setblocking(False)
        began = time.monotonic()
        answering = asyncio.create_task(_all_of(connection))
        sent = 0
        await loop.sock_sendall(connection, head)
        while not answering.done() and sent < len(body):
            byte = body[sent : sent + 1]
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(connection, b"1\r\n" + byte + b"\r\n" if chunked else byte)
            sent += 1
            await asyncio.wait([answering], timeout=BETWEEN_SECONDS)
        return Slow(await answering, time.monotonic() - began, sent)


async def _all_of(connection: socket.socket) -> bytes:
    held = bytearray()
    with contextlib.suppress(ConnectionError):
        while some := await asyncio.get_running_loop().sock_recv(connection, 65_536):
            held += some
    return bytes(held)


def head_of(path: str, media_type: str, token: str, *, chunked: bool) -> bytes:
    """The request's first lines; it promises more than anybody will wait for."""
    length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 60000"
    lines = [
        f"POST {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", f"Content-Type: {media_type}", length,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_who_sends_byte_by_byte_is_told_and_cut_and_others_go_on(
    settings: Settings, owner_url: str, caplog: pytest.LogCaptureFixture, *, chunked: bool
) -> None:
    impatient = settings.model_copy(update={"body_seconds": SECONDS, "upload_seconds": SECONDS})
    async with open_house_of(impatient, owner_url) as house:
        cast = await Cast.sign_in(house, PASSWORD)
        talk = await cast.booked(cast.asha, cast.dr_rao)
        caplog.clear()

        async def slowly(kind: str) -> Slow:
            path, media_type, body = KINDS[kind]
            path = path or f"/api/v1/consultations/{talk['id']}/attachments"
            return await dribble(house.base, head_of(path, media_type, cast.asha.token, chunked=chunked), body,
                                 chunked=chunked)  # fmt: skip

        dribbling = {kind: asyncio.create_task(slowly(kind)) for kind in KINDS}
        while not all(task.done() for task in dribbling.values()):
            assert (await cast.asha.get("/me")).status == 200
            await asyncio.sleep(0.05)
        for kind, task in dribbling.items():
            slow = task.result()
            assert slow.answer.startswith(b"HTTP/1.1 400 "), (kind, slow)
            assert b"\r\nConnection: close\r\n" in slow.answer
            if kind != "form":
                problem = json.loads(slow.answer.partition(b"\r\n\r\n")[2])
                assert problem["type"] == "/problems/malformed"
                assert problem["detail"] == "The body did not arrive within 1 seconds."
            assert SECONDS <= slow.seconds < SECONDS + 3  # aiohttp by itself would read on for ten more
            assert slow.sent > 5
        assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_body_within_its_time_is_taken_however_slowly_it_comes(house: House) -> None:
    body = json.dumps({"email": "nobody@example.org", "password": PASSWORD}).encode()
    head = head_of("/api/v1/auth/login", "application/json", "", chunked=False)
    head = head.replace(b"60000", str(len(body)).encode()).replace(b"Authorization: Bearer \r\n", b"")
    slow = await dribble(house.base, head.replace(b"Host: x", b"Host: x\r\nConnection: close"), body, chunked=False)
    assert slow.answer.startswith(b"HTTP/1.1 401 ")
    assert slow.sent == len(body)


def test_the_bounds_are_half_a_minute_and_a_minute() -> None:
    given = read_settings({})
    assert (given.body_seconds, given.upload_seconds) == (30, 60)
