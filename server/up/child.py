"""One child process: started in a session of its own, ended with its parent, known again after a crash."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from server.up.folder import Account

PR_SET_PDEATHSIG = 1
LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class Program:
    """What to run, as whom, and how it is told to end."""

    name: str
    argv: tuple[str, ...]
    environ: Mapping[str, str]
    cwd: Path
    log: Path
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    stop_seconds: float = 15.0
    pass_fds: tuple[int, ...] = field(default=())


@dataclass(frozen=True)
class Mark:
    """A process that can be known again: its pid, and when it was started, so that a reused pid is a stranger."""

    pid: int
    started: str


def mark(pid: int) -> Mark | None:
    """The mark of a living process; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        state, *rest = stat[stat.rindex(")") + 2 :].split()
        return None if state in "ZX" else Mark(pid, f"{boot} {rest[18]}")
    except (OSError, ValueError, IndexError):
        pass
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Mark(pid, f"{process.create_time():.2f}")
    except (psutil.Error, OSError, ValueError, OverflowError):
        return None


class Child:
    """A running program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._process = _spawn(program)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended: None while it runs, negative for a signal."""
        return self._process.poll()

    async def ended(self) -> int:
        """Wait for its end and say how. A thread waits, so any loop on any system may ask."""
        if (code := self._process.poll()) is not None:
            return code
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def settle(code: int) -> None:
            if not future.done():
                future.set_result(code)

        def wait() -> None:
            code = self._process.wait()
            with contextlib.suppress(RuntimeError):  # the loop that asked is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, code)

        threading.Thread(target=wait, name=f"end of {self.program.name}", daemon=True).start()
        return await future

    async def stop(self, seconds: float | None = None) -> int:
        """Ask it to end; kill it when it has not after `seconds` (by default what its program says)."""
        self.send(self.program.stop_signal)
        try:
            async with asyncio.timeout(self.program.stop_seconds if seconds is None else seconds):
                return await self.ended()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """End it at once."""
        self.send(signal.SIGKILL)
        return await self.ended()

    def send(self, what: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        self._process.send_signal(what)

    def last_words(self, lines: int = 3) -> str:
        """The end of its log, on one line."""
        try:
            said = self.program.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return " | ".join(line.strip() for line in said[-lines:] if line.strip())[-600:]


def clean_environment() -> dict[str, str]:
    """What a service gets to see: no locale that may be absent here, none of our secrets."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "LANG": "C", "TZ": "UTC"}


def _spawn(program: Program) -> subprocess.Popen[bytes]:
    _turn_over(program.log)
    log = os.open(program.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    account = program.account
    try:
        return subprocess.Popen(  # noqa: S603 - our own list of arguments, no shell
            program.argv,
            env=dict(program.environ),
            cwd=program.cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # A session of its own: Ctrl-C in the terminal reaches the parent alone, which ends all in order.
            start_new_session=True,
            pass_fds=program.pass_fds,
            preexec_fn=_ends_with_parent(program.orphan_signal),
        )
    finally:
        os.close(log)


def _turn_over(log: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(log.name + ".1"))


def _ends_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """On Linux the kernel ends a child whose parent was killed; elsewhere the next start knows it by its mark."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_the_kernel() -> None:
        # Runs after the change of account, which would have cleared the wish.
        prctl(PR_SET_PDEATHSIG, int(orphan_signal), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask_the_kernel
