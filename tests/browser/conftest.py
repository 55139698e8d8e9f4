"""The product as a newcomer has it: `amrutam up` with two servers, and the distribution's Chromium."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from tests.conftest import PASSWORD

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


@dataclass(frozen=True)
class Running:
    """A running `amrutam up`."""

    base: str
    folder: Path
    process: subprocess.Popen[bytes]


@pytest.fixture(scope="session")
def up() -> Iterator[Running]:
    """`amrutam up --servers 2` on a folder and port of its own."""
    folder = Path(tempfile.mkdtemp(prefix="amrutam-browser-", dir="/tmp"))
    folder.chmod(0o755)
    environment = {**os.environ, "AMRUTAM_DEMO_PASSWORD": PASSWORD, "PYTHONPATH": str(ROOT)}  # noqa: TID251
    errors = (folder / "stderr").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "server.cli", "up", "--servers", "2", "--port", "0", "--data", str(folder / "d")],
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        cwd=ROOT,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", line), (folder / "stderr").read_text()
    try:
        yield Running(line, folder, process)
    finally:
        process.send_signal(signal.SIGINT)
        until = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.1)
        process.kill()
        errors.close()
        process.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    """The distribution's Chromium with a fake camera and microphone."""
    if CHROMIUM is None:
        if os.environ.get("CI"):  # noqa: TID251
            pytest.fail("CI has no Chromium")
        pytest.skip("no Chromium here: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        await browser.close()
