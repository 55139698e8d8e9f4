"""What the storm of the delivery test costs stock python-socketio with its Redis manager: how much never arrives.

    python -m bench.delivery_storm [--watchers 100]

The very storm of tests/storm.py: watchers in ten rooms over two instances, cut at random, both instances and Valkey
killed with -9 and started again (Valkey with and without its data), listeners' connections killed, a black hole of 30
seconds between one instance and Valkey, two events in a hundred never published. The peer has no database, so none is
restarted under it, and no log, so its watchers can ask for nothing again. This server's own run of it is
tests/test_delivery_chaos.py, where nothing may be missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import socketio

from bench.fanout.stock import BODY_BYTES
from bench.services import answers, free_port, services, wait_for
from server.core.tasks import end_tasks
from tests.lean import Watcher
from tests.proxy import proxy_to
from tests.storm import Stage, Verdict, judge, storm

ROOMS = [f"r{n}" for n in range(10)]
SEED = 20_261_125
Log = dict[str, dict[int, tuple[str, float]]]


@dataclass
class StockServer:
    """A process of bench.fanout.stock, started again at the same port after its end."""

    redis_url: str
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        command = [sys.executable, "-m", "bench.fanout.stock", "serve", self.redis_url, str(self.port)]
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said)

    async def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            await asyncio.to_thread(self.process.wait)

    async def stands(self) -> None:
        """Wait until it answers."""
        assert self.process is not None
        await wait_for(lambda: answers(self.port), self.process)


@contextlib.asynccontextmanager
async def stock(redis_url: str, log: Path) -> AsyncGenerator[StockServer]:
    """A server that is gone when the block ends."""
    server = StockServer(redis_url, free_port(), log)
    await server.start()
    try:
        await server.stands()
        yield server
    finally:
        await server.kill()


async def weather(watching: int) -> tuple[Stage, Verdict]:
    """One storm, and what the watchers got of what they were owed."""
    rng = random.Random(SEED)
    log: Log = defaultdict(dict)
    async with contextlib.AsyncExitStack() as stack:
        running = await stack.enter_async_context(services())
        proxy = await stack.enter_async_context(proxy_to(running.valkey.url))
        one = await stack.enter_async_context(stock(running.valkey.url, running.folder / "one.log"))
        other = await stack.enter_async_context(stock(proxy.redis_url, running.folder / "other.log"))
        manager: Any = socketio.AsyncRedisManager(running.valkey.url, write_only=True)

        async def append(room: str, published: bool) -> None:  # noqa: FBT001 - as the stage calls it
            number = len(log[room]) + 1
            log[room][number] = (str(number), time.time())
            if published:
                body = secrets.token_hex((BODY_BYTES - 11) // 2)
                await manager.emit(
                    "event", {"room": room, "offset": number, "at": str(number), "data": body}, room=room
                )

        bases = [one.base, other.base]
        watchers = [
            Watcher(bases[n % 2], tuple(rng.sample(ROOMS, 2)), random.Random(n), keeps_numbers=False)
            for n in range(watching)
        ]
        stage = Stage((one, other), running.valkey, proxy, ROOMS, append, None, rng)
        tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
        try:
            async with asyncio.timeout(30):
                while not all(watcher.watches_all() for watcher in watchers):  # noqa: ASYNC110 - it is in the sockets
                    await asyncio.sleep(0.05)
            await storm(stage, watchers)
            await asyncio.sleep(5)
        finally:
            await end_tasks(tasks)
        return stage, judge(watchers, log, stage)


async def main() -> None:
    """Run it once and say what was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--watchers", type=int, default=100)
    args = parser.parse_args()
    logging.getLogger("socketio").setLevel(logging.CRITICAL)  # it tells of every lost connection
    stage, verdict = await weather(args.watchers)
    print(
        f"{stage.appended} events in {len(ROOMS)} rooms, {stage.unpublished} of them never published: "
        f"{verdict.owed} deliveries owed, {verdict.missing} missing ({verdict.lost_percent:.1f} %), "
        f"{verdict.surplus} double or out of order"
    )


if __name__ == "__main__":
    asyncio.run(main())
