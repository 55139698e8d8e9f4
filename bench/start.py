"""How long `amrutam up` takes from cold to ready, how long the second time, and what everything together holds idle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
COLD_SECONDS, SECOND_SECONDS, IDLE_MB = 10.0, 5.0, 500.0
SETTLE_SECONDS = 10.0


def start(data: Path) -> tuple[subprocess.Popen[str], float]:
    """Start, and measure to the answer of the address that was printed, in seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "server.cli", "up", "--port", "0", "--data", str(data)],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=data.with_name("said").open("w"),
        text=True,
    )
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    if not address:
        raise SystemExit(f"amrutam up did not start:\n{data.with_name('said').read_text()}")
    urllib.request.urlopen(f"{address}/readyz", timeout=10).close()
    return process, time.perf_counter() - began


def held_mb(process: subprocess.Popen[str]) -> float:
    """Memory of the process and all below it, shared pages counted once (PSS; where there is none, unique pages)."""
    total = 0
    for each in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        held = each.memory_full_info()
        total += getattr(held, "pss", 0) or held.uss
    return total / 1e6


def stop(process: subprocess.Popen[str]) -> float:
    """Ask it to end; seconds until it had."""
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    return time.perf_counter() - began


def main() -> int:
    """Print the figures; 1 if one is over its promise."""
    home = Path(tempfile.mkdtemp(prefix="amrutam-bench-", dir="/tmp"))
    home.chmod(0o755)
    try:
        process, cold = start(home / "data")
        stop(process)
        process, second = start(home / "data")
        time.sleep(SETTLE_SECONDS)
        idle = held_mb(process)
        stopped = stop(process)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    rows = [
        ("cold start to the first answer", cold, COLD_SECONDS, "s"),
        ("second start", second, SECOND_SECONDS, "s"),
        ("idle memory of everything", idle, IDLE_MB, "MB"),
    ]
    print(f"| what | measured | promised | ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})\n|---|---|---|")
    for what, measured, promised, unit in rows:
        print(f"| {what} | {measured:.1f} {unit} | under {promised:.0f} {unit} |")
    print(f"| Ctrl-C to the end | {stopped:.1f} s | |")
    return int(any(measured > promised for _, measured, promised, _ in rows))


if __name__ == "__main__":
    raise SystemExit(main())
