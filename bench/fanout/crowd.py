"""A crowd on one process: 10,000 idle connections, one event for all of them, and 2,000 that come back at once.

    python -m bench.fanout.crowd [--clients 10000] [--storm 2000] [--json FILE]

One server with everything on, raw WebSocket clients with a browser's headers in one room. Said is what a connection
costs in memory and, while nothing happens, in processor time; how long one event takes from its commit to the last
client; and how long a storm takes: so many connections cut at one moment, each of which connects again at once and asks
for what it missed, while somebody else reads pages. It compares nobody: the figures are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.fanout.contenders import Contender, make_doctors, ours
from bench.fanout.lines import child
from bench.fanout.measure import Load, cpu, idle, memory, put
from bench.load import connect, request
from bench.services import services
from server.core.tasks import end_tasks
from tests.lean import Watcher

PAGE_PAUSE = 0.05
STORM_SECONDS = 60


async def idle_crowd(log: Path, contender: Contender, clients: int) -> dict[str, float]:
    """Memory and processor time of so many connections, and one event for all of them."""
    async with child([sys.executable, "-m", "bench.fanout.watchers"], log) as watchers:
        figures = {"kB a connection": await memory(watchers, contender, clients, 1)}
        resting = await idle([pid for _, pid in contender.servers])
        figures["idle: CPU ms a second"] = resting * 1000
        told = await put(watchers, contender, Load([[(0, 1)]] * 20, 1.0), clients, 1, resting)
        if told.missing:
            raise ValueError(f"{told.missing} frames are missing or came twice")
        figures |= {"an event: CPU us a delivery": told.cpu_us, "an event: last client, ms": told.percentile(0.5)}
        await watchers.ask(do="close")
    return figures


async def storm(contender: Contender, clients: int) -> dict[str, float]:
    """So many cut at one moment: seconds until the last is back in its room, and what pages took meanwhile."""
    [(port, pid)] = contender.servers
    room = f"slots:{contender.doctors[0]}"
    crowd = [
        Watcher(f"http://127.0.0.1:{port}", (room,), random.Random(n), address=f"198.19.{n // 250}.{n % 250 + 1}")
        for n in range(clients)
    ]
    tasks: list[asyncio.Task[None]] = []
    try:
        for watcher in crowd:
            tasks.append(asyncio.create_task(watcher.run()))
            if len(tasks) % 50 == 0:
                await asyncio.sleep(0.05)
        await _until_back(crowd, 1)
        before, begun = cpu(pid), time.monotonic()
        for watcher in crowd:
            if watcher.socket is not None:
                watcher.socket.abort()
        pages = asyncio.create_task(_read_pages(port))
        await _until_back(crowd, 2)
        took, spent = time.monotonic() - begun, cpu(pid) - before
        pages.cancel()
        waited = await pages
    finally:
        await end_tasks(tasks)
    return {
        "a storm: seconds until the last is back": took,
        "a storm: CPU ms a client": spent / clients * 1000,
        "a storm: a page meanwhile, ms, median": statistics.median(waited) * 1000,
        "a storm: a page meanwhile, ms, longest": max(waited) * 1000,
    }


async def _until_back(crowd: Sequence[Watcher], times: int) -> None:
    async with asyncio.timeout(STORM_SECONDS):
        while any(len(watcher.subscribed) < times for watcher in crowd):  # noqa: ASYNC110 - it is in the sockets
            await asyncio.sleep(0.01)


async def _read_pages(port: int) -> list[float]:
    """Read a list until cancelled; the seconds that each took."""
    (link,) = await connect(port, 1)
    waited: list[float] = []
    try:
        while True:
            begun = time.monotonic()
            answer = await link.ask(request("GET", "/api/v1/doctors", port))
            if answer.status != 200:
                raise ValueError(f"a page was answered with {answer.status}")
            waited.append(time.monotonic() - begun)
            await asyncio.sleep(PAGE_PAUSE)
    except asyncio.CancelledError:
        return waited
    finally:
        link.close()


async def measure(clients: int, returning: int) -> dict[str, float]:
    """All figures, of one server."""
    async with services() as running:
        await make_doctors(running, 1)
        async with ours(running, 1) as contender:
            figures = await idle_crowd(running.folder / "watchers.log", contender, clients)
            return figures | await storm(contender, returning)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--storm", type=int, default=2_000)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(arguments)
    figures = asyncio.run(measure(options.clients, options.storm))
    for what, value in figures.items():
        print(f"{what:<44}{value:>10.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
