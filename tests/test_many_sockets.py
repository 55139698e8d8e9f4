"""More sockets than a process may open files by default, and a crowd that comes back at once."""

from __future__ import annotations

import asyncio
import random
import resource
from pathlib import Path

import aiohttp

from server.core.settings import Settings
from tests.conftest import PASSWORD
from tests.house import Cast, House
from tests.lean import Watcher
from tests.processes import served
from tests.test_delivery_chaos import pens
from tests.test_rolling_restart import connected

CUSTOMARY = 256  # a soft limit as systems set it, smaller, so that fewer clients show it
CROWD = 300
STORM = 400


async def test_the_customary_limit_of_open_files_is_not_the_most_clients(
    settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    async with served(settings, log=tmp_path / "serve.log", most_files=CUSTOMARY) as (server, base):
        soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        assert soft == hard > CUSTOMARY
        async with aiohttp.ClientSession() as http:
            cast = await Cast.sign_in(House(settings, [], [base], http, owner_url), PASSWORD)
        room = f"slots:{cast.dr_rao.me['doctor_id']}"
        crowd = [
            Watcher(base, (room,), random.Random(n), address=f"10.90.{n // 250}.{n % 250 + 1}") for n in range(CROWD)
        ]
        async with connected(crowd):
            assert all(len(watcher.connected) == 1 for watcher in crowd)


async def test_a_crowd_that_is_cut_at_once_is_back_and_has_every_event(
    settings: Settings, owner_url: str, tmp_path: Path
) -> None:
    async with (
        served(settings, log=tmp_path / "serve.log") as (server, base),
        aiohttp.ClientSession() as http,
        pens(settings) as pen,
    ):
        cast = await Cast.sign_in(House(settings, [], [base], http, owner_url), PASSWORD)
        room = f"slots:{cast.dr_rao.me['doctor_id']}"
        crowd = [
            Watcher(base, (room,), random.Random(n), address=f"10.91.{n // 250}.{n % 250 + 1}") for n in range(STORM)
        ]
        async with connected(crowd):
            for watcher in crowd:
                assert watcher.socket is not None
                watcher.socket.abort()
            for _ in range(20):
                await pen.append(room, True)
            async with asyncio.timeout(20):
                # Somebody who only reads pages is served meanwhile.
                assert (await cast.asha.get("/doctors")).status == 200
                while any(len(watcher.got[room]) < 20 for watcher in crowd):  # noqa: ASYNC110 - it is in the sockets
                    await asyncio.sleep(0.05)
            assert all(len(watcher.connected) == 2 for watcher in crowd)
            assert all(
                [event.number for event in w.got[room]] == list(range(w.firsts[room] + 1, w.firsts[room] + 21))
                for w in crowd
            )
        assert '"levelname": "ERROR"' not in server.said
