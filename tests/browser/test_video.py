"""Calls in two browsers when something is missing, taken over, reloaded, left, or when the servers die beneath them."""

from __future__ import annotations

import json
import signal

import psutil
import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Running
from tests.browser.people import ALL_ENDED, FRAMES, HEARD, MORE_FRAMES, RECEIVED, is_live, join, meeting, reads, say

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

MISSING = [
    ({"video": "NotFoundError"}, "No camera was found"),
    ({"audio": "NotFoundError"}, "No microphone was found"),
    ({"audio": "NotFoundError", "video": "NotFoundError"}, "No camera and no microphone were found"),
    ({"audio": "NotAllowedError", "video": "NotAllowedError"}, "Press the lock beside the address"),
    ({"video": "NotReadableError"}, "Another app has the camera"),
]


@pytest.mark.parametrize(
    ("failing", "sentence"), MISSING, ids=["no camera", "no microphone", "neither", "denied", "camera busy"]
)
async def test_whoever_lacks_a_device_is_in_the_call_all_the_same(
    up: Running, chromium: Browser, failing: dict[str, str], sentence: str
) -> None:
    async with meeting(up.base, chromium) as met:
        patient, doctor = await met.both_live(script=f"window.failing = {json.dumps(failing)};\n")
        help_line = patient.locator(".stage [data-device-help]")
        await expect(help_line).to_contain_text(sentence)
        await patient.wait_for_function(RECEIVED)
        await patient.wait_for_function(HEARD)
        await say(patient, "I hear you")
        await reads(doctor, "I hear you")
        if "audio" not in failing:
            await doctor.wait_for_function(HEARD)
        stage = doctor.locator(".stage")
        for kind, told in (("audio", "data-other-audio"), ("video", "data-other-video")):
            await expect(stage).to_have_attribute(told, "false" if kind in failing else "true")

        # The device is there now: once more, on the same page.
        await patient.evaluate("failing = {}")
        await close_chat(patient)
        await help_line.locator("[data-action=retry-devices]").click()
        await expect(help_line).to_be_hidden()
        await doctor.wait_for_function(RECEIVED)
        await doctor.wait_for_function(HEARD)
        for told in ("data-other-audio", "data-other-video"):
            await expect(stage).to_have_attribute(told, "true")


async def test_every_track_ends_whichever_way_the_call_is_left(up: Running, chromium: Browser) -> None:
    async with meeting(up.base, chromium) as met:
        patient = await met.open(met.patient)
        await patient.click("[data-action=test-devices]")
        await patient.wait_for_function("() => everyTrack.filter((track) => track.readyState === 'live').length === 2")
        await met.call()
        await expect(patient.locator("main")).to_have_attribute("data-state", "called")
        await patient.wait_for_function(ALL_ENDED)  # the test of devices let go of them

        doctor = await met.open(met.doctor)
        await join(doctor)
        await join(patient)
        await is_live(patient)
        await patient.click("[data-action=leave]")
        await patient.wait_for_function(ALL_ENDED)
        await expect(doctor.locator(".stage [data-banner]")).to_contain_text("has left the call")

        await join(patient)
        await is_live(patient)
        # Registered last, so it sees what the page's own listeners left.
        await patient.evaluate("""() => addEventListener("pagehide", () => {
            sessionStorage.setItem("left", JSON.stringify(everyTrack.map((track) => track.readyState)));
        })""")
        await patient.goto(f"{up.base}/consultations")
        states = json.loads(await patient.evaluate("() => sessionStorage.getItem('left')"))
        assert len(states) == 6  # the test, the first call, the second
        assert set(states) == {"ended"}

        await patient.goto(met.url)
        await is_live(patient)
        await met.doctor.call("POST", f"/consultations/{met.id}/complete")
        for page in (patient, doctor):
            await expect(page.locator("main")).to_have_attribute("data-state", "ended", timeout=10000)
            await page.wait_for_function(ALL_ENDED)


async def test_a_reload_comes_back_in_a_newer_epoch(up: Running, chromium: Browser) -> None:
    async with meeting(up.base, chromium) as met:
        patient, doctor = await met.both_live()
        await patient.reload()
        await is_live(patient)
        await is_live(doctor)
        for page in (patient, doctor):
            await page.wait_for_function(RECEIVED)
            await page.wait_for_function(HEARD)
        await patient.reload()
        await is_live(patient)
        first, second, third = met.epochs[patient]
        assert first < second < third
        assert len(set(met.epochs[doctor])) == 1  # whoever stays keeps theirs


async def test_a_second_tab_takes_the_call_and_the_first_says_so(up: Running, chromium: Browser) -> None:
    async with meeting(up.base, chromium) as met:
        first, doctor = await met.both_live()
        second = await met.open_in(first.context)
        await is_live(second)
        await expect(first.locator("main")).to_have_attribute("data-state", "ended")
        await expect(first.locator("[data-ended-title]:visible")).to_have_text("The call is in another window.")
        await first.wait_for_function(ALL_ENDED)
        await second.wait_for_function(RECEIVED)
        await is_live(doctor)

        await join(first)
        await is_live(first)
        await expect(second.locator("[data-ended-title]:visible")).to_have_text("The call is in another window.")
        await second.wait_for_function(ALL_ENDED)
        await first.wait_for_function(RECEIVED)


async def test_media_outlive_every_server(up: Running, chromium: Browser) -> None:
    async with meeting(up.base, chromium) as met:
        patient, doctor = await met.both_live()
        for page in (patient, doctor):
            await page.wait_for_function(RECEIVED)
            await watch_states(page)
        for server in servers_of(up):
            server.send_signal(signal.SIGKILL)
        for page in (patient, doctor):
            await plays_on(page)

        # The supervisor brings the servers back, the pages bring their sockets back.
        await say(patient, "still here")
        await reads(doctor, "still here")
        await close_chat(patient)
        await patient.click("[data-action=mute]")
        await expect(doctor.locator(".stage")).to_have_attribute("data-other-audio", "false", timeout=15000)
        for page in (patient, doctor):
            await plays_on(page)
            assert set(await page.evaluate("() => statesSince")) <= {"live", "degraded"}
            assert len(set(met.epochs[page])) == 1  # the same call went on


def servers_of(up: Running) -> list[psutil.Process]:
    """The server processes of a running house."""
    children = psutil.Process(up.process.pid).children(recursive=True)
    found = [child for child in children if "serve" in child.cmdline()]
    assert len(found) == 2
    return found


async def plays_on(page: Page) -> None:
    """Wait for twenty more frames of the other side's picture."""
    await page.wait_for_function(MORE_FRAMES, arg=await page.evaluate(FRAMES) + 20)


async def watch_states(page: Page) -> None:
    """Keep every state that the page goes through."""
    await page.evaluate("""() => {
        const main = document.querySelector("main");
        window.statesSince = [main.dataset.state];
        new MutationObserver(() => statesSince.push(main.dataset.state))
            .observe(main, { attributes: true, attributeFilter: ["data-state"] });
    }""")


async def close_chat(page: Page) -> None:
    """Fold the drawer that lies over the controls on a phone."""
    await page.evaluate("() => { location.hash = ''; }")
