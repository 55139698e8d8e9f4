"""Weather over a clinic: servers, workers and PostgreSQL killed, Valkey emptied, one after the other at random."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from server.up import Postgres, Valkey
from tests.processes import Program, ready

Fault = Literal["server", "worker", "valkey", "postgres"]
# One turn of the weather, in a new order each time.
TURN: Sequence[Fault] = ("server", "server", "worker", "worker", "valkey", "postgres")
CALM_SECONDS = (0.2, 1.0)
AWAY_SECONDS = (0.0, 1.0)


@dataclass
class Weather:
    """What it goes over, and how often each has struck."""

    servers: Sequence[tuple[Program, str]]
    workers: Sequence[Program]
    valkey: Valkey
    postgres: Postgres
    rng: random.Random
    struck: Counter[Fault] = field(default_factory=Counter[Fault])

    @property
    def has_done_everything(self) -> bool:
        """Whether each kind of fault has struck."""
        return set(self.struck) == set(TURN)

    async def rage(self, until: asyncio.Event) -> None:
        """Strike until told to stop; what is down then is brought back before this ends."""
        strikes: Mapping[Fault, Callable[[], Awaitable[None]]] = {
            "server": self._server,
            "worker": self._worker,
            "valkey": self._valkey,
            "postgres": self._postgres,
        }
        while not until.is_set():
            for fault in self.rng.sample(TURN, len(TURN)):
                if not until.is_set():
                    # How long it is quiet, and how long something is away, is the fault itself.
                    await asyncio.sleep(self.rng.uniform(*CALM_SECONDS))
                    await strikes[fault]()
                    self.struck[fault] += 1

    async def _server(self) -> None:
        server, base = self.rng.choice(self.servers)
        await server.kill()
        await asyncio.sleep(self.rng.uniform(*AWAY_SECONDS))
        await server.start()
        await ready(base, server)

    async def _worker(self) -> None:
        worker = self.rng.choice(self.workers)
        await worker.kill()
        await worker.start()

    async def _valkey(self) -> None:
        await self.valkey.kill()
        await asyncio.sleep(self.rng.uniform(*AWAY_SECONDS))
        await self.valkey.start()

    async def _postgres(self) -> None:
        await self.postgres.kill()
        await self.postgres.start()


__all__ = ["Fault", "Weather"]
