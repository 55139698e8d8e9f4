"""Every page for every reader, on phone and desk, in both languages and themes; and fingers that press too often."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.browser.conftest import ROOT, Running
from tests.browser.people import Somebody, meeting, somebody

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PHONE, DESK = 360, 1280
AXE = ROOT / "web/node_modules/axe-core/axe.min.js"
TOO_WIDE = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
# A colour on its way to another one has no contrast worth measuring.
SETTLED = """() => Promise.all(document.getAnimations().filter((one) => one instanceof CSSTransition)
  .map((one) => one.finished.catch(() => undefined)))"""
RULES = """() => axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }).then(({ violations }) =>
  violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 160)).join(" | ")}`))"""
THEMES: dict[int, Literal["light", "dark"]] = {PHONE: "dark", DESK: "light"}
OPEN_TO_ALL = [
    "/login", "/register", "/forgot", "/check-mail", "/verify?token=x", "/reset?token=x", "/invitation?token=x",
    "/prescriptions/verify", "/dev/inbox", "/problems/slot-taken", "/nowhere",
]  # fmt: skip


@pytest.fixture(params=["en", "hi"])
def language(request: pytest.FixtureRequest) -> str:
    """The language of a page."""
    return request.param


async def test_pages_for_everybody(up: Running, chromium: Browser, language: str) -> None:
    async with somebody(up.base, "doctor2") as doctor:
        context = await chromium.new_context()
        paths = ["/", f"/doctors/{doctor.me['doctor_id']}", *OPEN_TO_ALL]
        await look_at(context, up.base, paths, language, axe=["/", paths[1], "/login", "/register"])


async def test_pages_of_a_patient(up: Running, chromium: Browser, language: str) -> None:
    async with meeting(up.base, chromium, "patient3") as met, somebody(up.base, "doctor2") as costly:
        patient = met.patient
        first, second = (await free_slots(patient, costly))[-2:]
        held = await patient.call("POST", "/consultations", {"slot_id": first["id"]})
        paths = [
            "/", "/consultations", "/account", "/security", "/record", f"/book?slot_id={second['id']}",
            f"/checkout/{held['payment']['id']}", f"/consultations/{met.id}",
        ]  # fmt: skip
        context = await patient.context(chromium)
        await look_at(context, up.base, paths, language, axe=[paths[-3], paths[-1]])
        await patient.call("POST", f"/consultations/{held['id']}/cancel")
        await look_at(context, up.base, [f"/consultations/{held['id']}"], language)


async def test_pages_of_a_doctor(up: Running, chromium: Browser, language: str) -> None:
    async with meeting(up.base, chromium, "patient4", "doctor1") as met:
        paths = ["/queue", "/hours", "/calendar", "/account", "/security", f"/consultations/{met.id}"]
        await look_at(await met.doctor.context(chromium), up.base, paths, language, axe=[paths[0], paths[-1]])


async def test_pages_of_an_administrator(up: Running, chromium: Browser, language: str) -> None:
    async with somebody(up.base, "admin") as admin:
        paths = ["/admin/doctors", "/admin/operations", "/admin/users", "/admin/audit", "/account", "/security"]
        await look_at(await admin.context(chromium), up.base, paths, language, axe=paths[:2])


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
async def test_five_impatient_presses_book_and_charge_once(up: Running, chromium: Browser, *, script: bool) -> None:
    who = "patient5" if script else "patient6"
    async with somebody(up.base, who) as patient, somebody(up.base, "doctor2") as doctor:
        slot = (await free_slots(patient, doctor))[6]

        async def confirmations() -> list[dict[str, Any]]:  # a reminder may be due at once, and is another letter
            return [letter for letter in await letters(up.base, who) if letter["attachments"]]

        before = await confirmations()
        context = await patient.context(chromium, java_script_enabled=script)
        page = await context.new_page()
        await page.goto(f"{up.base}/book?slot_id={slot['id']}")
        await page.check("input[name=consent]")
        network = await context.new_cdp_session(page)
        await network.send(  # pyright: ignore[reportUnknownMemberType] - its answer is a bare Dict
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 400, "downloadThroughput": 50_000, "uploadThroughput": 20_000},
        )
        await page.locator("[data-action=confirm-booking]").click(click_count=5, delay=20, no_wait_after=True)
        # Without script each press begins the form anew; only where it ends counts.
        await expect(page).to_have_url(re.compile("/checkout/"), timeout=20000)
        listed = await patient.call("GET", "/consultations")
        [booked] = [item for item in listed["items"] if item["slot_id"] == slot["id"]]
        assert page.url.endswith(booked["payment"]["id"])

        await page.locator("[data-action=pay]").click(click_count=5, delay=20, no_wait_after=True)
        await expect(page).to_have_url(re.compile("/consultations/"), timeout=20000)
        await expect(page.locator("main")).to_have_attribute("data-state", "checking", timeout=20000)
        found = await confirmations()
        while len(found) == len(before):
            await page.wait_for_timeout(200)
            found = await confirmations()
        [mail] = [one for one in found if one not in before]
        assert len(mail["attachments"]) == 1
        await patient.call("POST", f"/consultations/{booked['id']}/cancel")


async def test_a_slot_passes_while_the_page_is_open(up: Running, chromium: Browser) -> None:
    async with somebody(up.base, "patient7") as patient, somebody(up.base, "doctor1") as doctor:
        page = await (await patient.context(chromium)).new_page()
        await page.goto(f"{up.base}/doctors/{doctor.me['doctor_id']}?lang=en")
        slot = page.locator("[data-slots] button[name=slot_id]:not([disabled])").nth(3)
        chosen = page.locator(f"[data-slots] button[value='{await slot.get_attribute('value')}']")
        await chosen.click()
        await expect(chosen).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("form[data-chosen]")).to_be_visible()
        # Its time comes: a second from now, by the page's own account of it.
        await chosen.evaluate("(slot) => { slot.dataset.start = new Date(Date.now() + 1000).toISOString(); }")
        await expect(chosen).to_be_disabled(timeout=10000)
        await expect(chosen.locator("small")).to_have_text("past")
        await expect(page.locator("form[data-chosen]")).to_be_hidden()


async def look_at(
    context: BrowserContext, base: str, paths: Sequence[str], language: str, axe: Sequence[str] = ()
) -> None:
    """Open pages one after the other and hold each against what is true of all of them."""
    page = await context.new_page()
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        # A page that is meant to answer 404 is told so by the browser too.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            said.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: said.append(str(error)))
    wrong: list[str] = []
    for path in paths:
        answer = await page.goto(f"{base}{path}{'&' if '?' in path else '?'}lang={language}")
        assert answer is not None
        if answer.status >= 500:
            wrong.append(f"{path}: {answer.status}")
        if await page.locator("html").get_attribute("lang") != language:
            wrong.append(f"{path}: not in {language}")
        for width, theme in THEMES.items():
            await page.set_viewport_size({"width": width, "height": 800})
            await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            if (titles := await page.locator("h1:visible").count()) != 1:
                wrong.append(f"{path} at {width}: {titles} h1")
            if over := await page.evaluate(TOO_WIDE):
                wrong.append(f"{path} at {width}: {over} px too wide")
            if path in axe:
                wrong += [f"{path} at {width}, {theme}: {rule}" for rule in await broken_rules(page)]
        wrong += [f"{path}: {line}" for line in said]
        said.clear()
    assert wrong == []
    await page.close()


async def broken_rules(page: Page) -> list[str]:
    """What axe-core finds."""
    if not AXE.exists():
        pytest.skip("axe-core is not here: cd web && npm ci")
    await page.evaluate(SETTLED)
    await page.evaluate(AXE.read_text())
    return await page.evaluate(RULES)


async def free_slots(reader: Somebody, doctor: Somebody) -> list[dict[str, Any]]:
    """A doctor's free slots, soonest first."""
    listed = await reader.call("GET", f"/doctors/{doctor.me['doctor_id']}/slots")
    return [slot for slot in listed["items"] if slot["status"] == "AVAILABLE"]


async def letters(base: str, who: str) -> list[dict[str, Any]]:
    """The mails that somebody was sent."""
    async with aiohttp.ClientSession() as http, http.get(f"{base}/dev/inbox.json") as response:
        return [mail for mail in await response.json() if mail["to"] == f"{who}@example.org"]
