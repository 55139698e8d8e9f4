"""How long the machine held up a test and the servers it watches: what a process waits for a core is no delay of it."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from pathlib import Path

TICK_SECONDS = 0.02
GRAIN_SECONDS = 0.005  # so late a clock may always come, and nobody is held up by it
STOLEN = 8  # the column of /proc/stat, in hundredths of a second: what the machine below gave to others


class Witness:
    """Looks fifty times a second at how long each server, and this very process, wanted to run and could not.

    Of a server the kernel counts it (the second number of /proc/<pid>/schedstat is what its main thread waited in the
    queue for a core, in nanoseconds); this process sees how late its own clock comes. An idle machine holds nobody up.
    """

    def __init__(self, pids: Mapping[str, Callable[[], int]]) -> None:
        self._pids = pids
        self._moments: list[float] = []
        self._held: dict[str, list[float]] = {name: [] for name in pids}
        self.longest = 0.0
        """The longest time that this process itself was held up, in seconds."""

    async def watch(self) -> None:
        """Look until cancelled."""
        sums = dict.fromkeys(self._pids, 0.0)
        waited = {name: _waited(pid()) for name, pid in self._pids.items()}
        stolen, before = _stolen(), time.monotonic()
        while True:
            self._moments.append(time.time())
            for name, total in sums.items():
                self._held[name].append(total)
            await asyncio.sleep(TICK_SECONDS)
            now, stolen_now = time.monotonic(), _stolen()
            passed, before = now - before, now
            late = passed - TICK_SECONDS
            late = late if late > GRAIN_SECONDS else 0.0
            self.longest = max(self.longest, late)
            # Which core a process wanted is not known afterwards: it may have been the one of which most was stolen.
            most = max((there - then for there, then in zip(stolen_now, stolen, strict=True)), default=0.0)
            stolen = stolen_now
            for name, pid in self._pids.items():
                process, seconds = _waited(pid())
                its = seconds - waited[name][1] if process == waited[name][0] else seconds
                waited[name] = process, seconds
                sums[name] += min(passed, late + most + max(0.0, its))

    def held(self, name: str, since: float, until: float) -> float:
        """How long the way through this server was held up between two moments, in seconds."""
        return self._until(name, until) - self._until(name, since)

    def _until(self, name: str, moment: float) -> float:
        moments, sums = self._moments, self._held[name]
        after = bisect_left(moments, moment)
        if after == 0:
            return 0.0
        if after == len(moments):
            return sums[-1]
        part = (moment - moments[after - 1]) / (moments[after] - moments[after - 1])
        return sums[after - 1] + part * (sums[after] - sums[after - 1])


def _waited(pid: int) -> tuple[int, float]:
    """The process, and what it has waited in its life; nothing of one that is gone, or where nobody counts."""
    try:
        return pid, int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return pid, 0.0


def _stolen() -> list[float]:
    """What was stolen of each core since the machine was started."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return []
    return [int(line.split()[STOLEN]) / 100 for line in lines if line.startswith("cpu") and line[3] != " "]


__all__ = ["Witness"]
