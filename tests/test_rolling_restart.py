"""A rolling restart: who is told to go goes in its own time, nobody loses an event, and the process ends in time."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from PIL import Image

from server.core.settings import Settings
from tests.conftest import PASSWORD
from tests.house import Cast, House
from tests.lean import Watcher
from tests.processes import Program, served
from tests.storm import judge
from tests.test_delivery_chaos import pens, the_log

pytestmark = pytest.mark.chaos
BYE_WITHIN_SECONDS = 10.0
ENDS_WITHIN_SECONDS = 15.0


@contextlib.asynccontextmanager
async def connected(watchers: Sequence[Watcher]) -> AsyncGenerator[None]:
    """These watchers, all of them subscribed."""
    tasks: list[asyncio.Task[None]] = []
    try:
        for watcher in watchers:
            tasks.append(asyncio.create_task(watcher.run()))
            if len(tasks) % 50 == 0:
                await asyncio.sleep(0.05)  # a crowd that arrives, not a storm
        async with asyncio.timeout(40):
            while not all(watcher.watches_all() for watcher in watchers):  # noqa: ASYNC110 - the thing is in sockets
                await asyncio.sleep(0.1)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_thousand_sockets_on_two_servers_of_which_one_is_told_to_stop(
    settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    async with (
        served(settings, log=tmp_path / "one.log") as (leaving, here),
        served(settings, log=tmp_path / "other.log") as (_, there),
        aiohttp.ClientSession() as http,
        pens(settings) as pen,
    ):
        house = House(settings, [], [there], http, owner_url)
        rooms = [f"slots:{row['id']}" for row in await house.sql("select id from doctors order by id limit 8")]
        rng = random.Random(8)
        watchers = [
            Watcher((here, there)[n % 2], (rooms[n % 8],), random.Random(n), elsewhere=there) for n in range(1000)
        ]
        moving = watchers[::2]
        async with connected(watchers):

            async def tell() -> None:
                while True:
                    await pen.append(rng.choice(rooms), True)
                    await asyncio.sleep(0.1)

            telling = asyncio.create_task(tell())
            began = time.time()
            code = await leaving.end(signal.SIGTERM, seconds=ENDS_WITHIN_SECONDS)
            ended = time.time() - began
            async with asyncio.timeout(BYE_WITHIN_SECONDS + 8):
                while not all(len(watcher.connected) == 2 for watcher in moving):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            log = await the_log(house, rooms)
            heads = {room: max(lines, default=0) for room, lines in log.items()}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(10):
                    while any(w.offsets[r] < heads[r] for w in watchers for r in w.rooms):  # noqa: ASYNC110
                        await asyncio.sleep(0.1)
        assert code == 0
        assert ended < ENDS_WITHIN_SECONDS
        verdict = judge(watchers, log)
        assert (verdict.missing, verdict.surplus) == (0, 0)
        assert verdict.owed > 1000
        assert all(len(watcher.connected) == 1 and not watcher.byes for watcher in watchers[1::2])
        # Everybody was told once, and when to come: evenly over ten seconds, so that nobody comes in a herd.
        byes = [bye for watcher in moving for _, bye in watcher.byes]
        assert len(byes) == 500
        assert {(bye["code"], bye["retry"]) for bye in byes} == {("shutdown", True)}
        asked = Counter(int(bye["after_ms"] / 1000) for bye in byes)
        assert sorted(asked) == list(range(10))
        assert max(asked.values()) < 100  # 50 on average: a fair spread exceeds 100 in one of 10^10 restarts
        first = min(moment for watcher in moving for moment, _ in watcher.byes)
        came = Counter(int(watcher.connected[1] - first) for watcher in moving)
        assert max(came.values()) < 150, came
        assert len(came) >= 9


def picture() -> bytes:
    """A photograph of noise, some tens of kilobytes."""
    file = io.BytesIO()
    Image.effect_noise((400, 300), 90).convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()


async def upload_slowly(base: str, path: str, token: str, started: asyncio.Event, *, seconds: float) -> str:
    """Send a picture in ten pieces; the answer."""
    edge = uuid4().hex
    body = (
        f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="x.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode() + picture() + f"\r\n--{edge}--\r\n".encode()  # fmt: skip
    host, _, port = base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/v1{path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary={edge}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode())
    size = len(body) // 10 + 1
    for start in range(0, len(body), size):
        writer.write(body[start : start + size])
        await writer.drain()
        if start:
            started.set()
        await asyncio.sleep(seconds / 10)
    answer = await reader.read(4000)
    writer.close()
    return answer.decode()


async def stop_with_all_kinds_of_connections(
    server: Program, base: str, cast: Cast, watchers: Sequence[Watcher], *, upload_seconds: float
) -> tuple[float, str]:
    """SIGTERM amid sockets, an upload and an idle connection; when the process ended, and the upload's answer."""
    consultation = await cast.booked(cast.asha, cast.dr_rao)
    path = f"/consultations/{consultation['id']}/attachments"
    async with connected(watchers), aiohttp.ClientSession() as idle:
        async with idle.get(f"{base}/healthz") as answer:
            assert answer.status == 200
            await answer.read()  # and the connection stays
        started = asyncio.Event()
        upload = asyncio.create_task(upload_slowly(base, path, cast.asha.token, started, seconds=upload_seconds))
        async with asyncio.timeout(10):
            await started.wait()
        began = time.monotonic()
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        answered = await upload
        assert await server.ended(seconds=ENDS_WITHIN_SECONDS) == 0
        return time.monotonic() - began, answered


async def test_sockets_an_upload_and_an_idle_connection_do_not_hold_up_the_end(
    settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    keeping = settings.model_copy(update={"attachments_dir": tmp_path / "files"})
    async with served(keeping, log=tmp_path / "one.log") as (server, base), aiohttp.ClientSession() as http:
        house = House(settings, [], [base], http, owner_url)
        cast = await Cast.sign_in(house, PASSWORD)
        room = f"slots:{cast.dr_rao.me['doctor_id']}"
        watchers = [Watcher(base, (room,), random.Random(n), elsewhere="http://127.0.0.1:9") for n in range(500)]
        ended, answer = await stop_with_all_kinds_of_connections(server, base, cast, watchers, upload_seconds=3)
        assert ended < ENDS_WITHIN_SECONDS
        assert answer.startswith("HTTP/1.1 201 "), answer
        assert all(watcher.byes for watcher in watchers)
        assert '"levelname": "ERROR"' not in server.said
        stored = await house.value("select count(*) from attachments")
        assert stored == 1
