"""People with a browser and a bearer token, and the short way of two of them into a call."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, Page, WebSocket, expect

from tests.conftest import PASSWORD

# Every track that a page ever gets, and the failures that a test wants: {"audio": "NotFoundError"}.
DEVICES = """
(() => {
  const media = navigator.mediaDevices;
  if (!media || window.everyTrack) return;
  window.everyTrack = [];
  window.failing ??= {};
  for (const name of ["getUserMedia", "getDisplayMedia"]) {
    const real = media[name].bind(media);
    media[name] = async (constraints) => {
      for (const kind of ["audio", "video"]) {
        if (constraints?.[kind] && window.failing[kind]) throw new DOMException("by the test", window.failing[kind]);
      }
      const stream = await real(constraints);
      window.everyTrack.push(...stream.getTracks());
      return stream;
    };
  }
})();
"""
ALL_ENDED = "() => everyTrack.length > 0 && everyTrack.every((track) => track.readyState === 'ended')"
FRAMES = "() => document.querySelector('video[data-remote]').getVideoPlaybackQuality().totalVideoFrames"
MORE_FRAMES = """(least) =>
  document.querySelector('video[data-remote]').getVideoPlaybackQuality().totalVideoFrames > least"""
RECEIVED = """() => {
  const video = document.querySelector('video[data-remote]');
  return video && video.videoWidth > 0 && video.getVideoPlaybackQuality().totalVideoFrames > 5;
}"""
HEARD = """() => document.querySelector('video[data-remote]')?.srcObject?.getAudioTracks()
  .some((track) => track.readyState === 'live' && !track.muted)"""

_tokens: dict[tuple[str, str], str] = {}  # a login is a password hash; one a person will do


@dataclass
class Somebody:
    """Somebody who is signed in: over REST here, and in as many browsers as they open."""

    base: str
    who: str
    token: str
    http: aiohttp.ClientSession
    me: dict[str, Any] = field(default_factory=dict[str, Any])

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """One request under /api/v1; fails the test unless it succeeds."""
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": uuid4().hex}
        async with self.http.request(method, f"{self.base}/api/v1{path}", json=body, headers=headers) as response:
            assert response.status < 300, (method, path, response.status, await response.text())
            return await response.json()

    async def context(self, chromium: Browser, **wishes: Any) -> BrowserContext:
        """A browser of theirs, already signed in, that lets pages use camera and microphone."""
        context = await chromium.new_context(locale="en-IN", permissions=["camera", "microphone"], **wishes)
        await context.add_cookies([{"name": "amrutam", "value": self.token, "url": self.base}])
        return context


@contextlib.asynccontextmanager
async def somebody(base: str, who: str) -> AsyncGenerator[Somebody]:
    """One of the demo's people."""
    async with aiohttp.ClientSession() as http:
        if (base, who) not in _tokens:
            body = {"email": f"{who}@example.org", "password": PASSWORD, "token": True}
            async with http.post(f"{base}/api/v1/auth/login", json=body) as response:
                _tokens[base, who] = (await response.json())["token"]
        person = Somebody(base, who, _tokens[base, who], http)
        person.me = await person.call("GET", "/me")
        yield person


@dataclass
class Meeting:
    """A consultation whose patient has been called, and the pages of both, where they are open."""

    id: str
    base: str
    chromium: Browser
    patient: Somebody
    doctor: Somebody
    epochs: dict[Page, list[int]] = field(default_factory=dict[Page, list[int]])

    @property
    def url(self) -> str:
        return f"{self.base}/consultations/{self.id}"

    async def open(self, who: Somebody, *, script: str = "", **wishes: Any) -> Page:
        """The page of the consultation in a browser of its own; `script` runs before the page's own."""
        return await self.open_in(await who.context(self.chromium, **wishes), script=script)

    async def open_in(self, context: BrowserContext, *, script: str = "") -> Page:
        """The same as one more tab of a browser."""
        page = await context.new_page()
        self.epochs[page] = _joins_of(page)
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        await page.add_init_script(script + DEVICES)
        await page.goto(self.url)
        return page

    async def call(self) -> None:
        """The doctor calls the patient in."""
        await self.doctor.call("POST", f"/consultations/{self.id}/call")

    async def both_live(self, *, script: str = "") -> tuple[Page, Page]:
        """Patient and doctor in the call; `script` runs first in the patient's page."""
        await self.call()
        patient = await self.open(self.patient, script=script, viewport={"width": 360, "height": 740})
        doctor = await self.open(self.doctor)
        for page in (patient, doctor):
            await join(page)
        for page in (patient, doctor):
            await is_live(page)
        return patient, doctor


@contextlib.asynccontextmanager
async def meeting(
    base: str, chromium: Browser, patient: str = "patient1", doctor: str = "doctor1"
) -> AsyncGenerator[Meeting]:
    """A consultation with a doctor who takes no fee, booked and checked in to; completed afterwards."""
    async with somebody(base, patient) as guest, somebody(base, doctor) as host:
        listed = await guest.call("GET", f"/doctors/{host.me['doctor_id']}/slots")
        kept = await guest.call("GET", "/consultations")
        own = [one for one in kept["items"] if one["status"] in ("PENDING", "ACTIVE")]
        free = [
            slot
            for slot in listed["items"]
            if slot["status"] == "AVAILABLE"
            and not any(one["start_time"] < slot["end_time"] and slot["start_time"] < one["end_time"] for one in own)
        ]
        # Not the very next one: it may begin, and be gone, while we ask.
        booked = await guest.call("POST", "/consultations", {"slot_id": free[2]["id"], "reason": "Cough"})
        await guest.call("POST", f"/consultations/{booked['id']}/check-in")
        held = Meeting(booked["id"], base, chromium, guest, host)
        try:
            yield held
        finally:  # a test that failed, or skipped, leaves nobody in the line of the next
            found = await host.call("GET", f"/consultations/{held.id}")
            if found["status"] == "ACTIVE":
                await host.call("POST", f"/consultations/{held.id}/complete")
            elif found["status"] == "PENDING":
                await guest.call("POST", f"/consultations/{held.id}/cancel")


async def join(page: Page) -> None:
    """Press the button that brings the page into the call, wherever the page has it now."""
    await page.locator("[data-action=join]:visible").first.click()


async def is_live(page: Page) -> None:
    """Wait until the call of this page has media."""
    await expect(page.locator("main")).to_have_attribute("data-state", "live", timeout=20000)


async def say(page: Page, text: str) -> None:
    """Write a line into the chat, opening its drawer where it is folded."""
    box = page.locator("form.chat-send input[name=text]").first
    if not await box.is_visible():
        await page.locator("a[href='#chat'], [data-opens=chat]").first.click()
    await box.fill(text)
    await box.press("Enter")


async def reads(page: Page, text: str) -> None:
    """Wait until a line is in the chat."""
    await expect(page.locator(".chat-log")).to_contain_text(text, timeout=15000)


def _joins_of(page: Page) -> list[int]:
    """The epochs in which this page comes in as its socket is told; one line a join."""
    epochs: list[int] = []

    def hear(frame: str | bytes) -> None:
        if isinstance(frame, str) and (told := re.search(r'"joined":(\d+)', frame)):
            epochs.append(int(told[1]))

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", hear)

    page.on("websocket", listen)
    return epochs
