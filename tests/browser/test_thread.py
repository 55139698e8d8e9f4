"""The whole thread with two browsers and a third that watches: from a free slot to a prescription that reads back."""

from __future__ import annotations

import base64
import re
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from icalendar import Calendar, Event
from playwright.async_api import Browser, Page, expect
from pypdfium2 import PdfDocument

from tests.browser.conftest import Running
from tests.browser.people import HEARD, RECEIVED, say
from tests.conftest import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


async def person(chromium: Browser, base: str, who: str | None, **context: Any) -> Page:
    """A browser of their own, signed in as `who`."""
    opened = await chromium.new_context(locale="en-IN", permissions=["camera", "microphone"], **context)
    page = await opened.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
    if who is not None:
        await page.goto(f"{base}/login")
        await page.fill("input[name=email]", f"{who}@example.org")
        await page.fill("input[name=password]", PASSWORD)
        await page.click("form[action='/login'] button[type=submit]")
        await page.wait_for_url(lambda url: "/login" not in url)
    return page


async def inbox(base: str) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(f"{base}/dev/inbox.json") as response:
        return await response.json()


async def test_from_a_free_slot_to_a_prescription(up: Running, chromium: Browser) -> None:
    base = up.base
    # The doctor with a fee: payment, its webhook and the confirmation are part of the thread.
    async with aiohttp.ClientSession() as http, http.get(f"{base}/api/v1/doctors?q=Sen") as response:
        doctors = (await response.json())["items"]
    doctor = next(item for item in doctors if item["fee"] > 0)
    doctor_login = await login_of(base, doctor["id"])

    watcher = await person(chromium, base, None)
    await watcher.goto(f"{base}/doctors/{doctor['id']}")
    patient = await person(chromium, base, "patient7", viewport={"width": 360, "height": 740})
    await patient.goto(f"{base}/doctors/{doctor['id']}")
    button = patient.locator("[data-slots] button[name=slot_id]:not([disabled])").nth(4)
    slot_id = await button.get_attribute("value")
    seen = watcher.locator(f"[data-slots] button[value='{slot_id}']")
    await expect(seen).to_be_enabled()

    await patient.goto(f"{base}/book?slot_id={slot_id}")
    await patient.fill("[name=reason]", "Fever since Sunday, sore throat")
    await patient.check("input[name=consent]")
    await patient.click("form[action='/book'] button[type=submit]")
    await patient.wait_for_url(re.compile("/checkout/"))
    await expect(seen).to_be_disabled(timeout=5000)

    await patient.click("[data-action=pay]")
    await patient.wait_for_url(re.compile("/consultations/"))
    consultation_url = patient.url.split("?")[0].split("#")[0]
    main = patient.locator("main[data-page=consultation]")
    await expect(main).to_have_attribute("data-state", "checking", timeout=15000)

    await patient.click("[data-action=check-in]")
    await expect(main).to_have_attribute("data-state", "waiting", timeout=10000)

    staff = await person(chromium, base, doctor_login, viewport={"width": 1280, "height": 860})
    await staff.goto(f"{base}/queue")
    path = consultation_url.removeprefix(base)
    await staff.locator(f"form[action='{path}/call'] [data-action=call]:visible").first.click()
    await staff.wait_for_url(re.compile("/consultations/"))
    await expect(main).to_have_attribute("data-state", "called", timeout=10000)
    desk = staff.locator("main[data-page=consultation]")

    for page in (staff, patient):
        if await page.locator("main").get_attribute("data-state") == "called":
            await page.locator("[data-action=join]:visible").first.click()
    for page, state in ((staff, desk), (patient, main)):
        await expect(state).to_have_attribute("data-state", "live", timeout=30000)
        await page.wait_for_function(RECEIVED, timeout=20000)
        await page.wait_for_function(HEARD, timeout=20000)
    assert await main.get_attribute("data-route") == "direct"

    await say(patient, "101 this morning")
    await expect(staff.locator(".chat-log")).to_contain_text("101 this morning", timeout=5000)

    await prescribe(staff)
    await staff.locator("[data-action=complete]:visible").first.click()
    await expect(main).to_have_attribute("data-state", "ended", timeout=10000)

    mails = await inbox(base)
    [confirmed] = [mail for mail in mails if mail["attachments"] and mail["to"] == "patient7@example.org"][:1]
    file = Calendar.from_ical(base64.b64decode(confirmed["attachments"][0]["content_base64"]))
    [event] = [part for part in file.subcomponents if isinstance(part, Event)]
    assert event.start == await start_of(base, consultation_url)

    await patient.goto(consultation_url)
    link = patient.locator("a[href*='.pdf'][href*='hi']").first
    href = await link.get_attribute("href")
    answer = await patient.request.get(base + str(href))
    assert answer.status == 200
    text = "".join(page.get_textpage().get_text_range() for page in PdfDocument(await answer.body()))
    assert "PARACETAMOL" in text
    assert "दिन में तीन बार" in text


async def start_of(base: str, consultation_url: str) -> datetime:
    """When the consultation begins, by the API."""
    async with aiohttp.ClientSession() as http:
        body = {"email": "patient7@example.org", "password": PASSWORD, "token": True}
        async with http.post(f"{base}/api/v1/auth/login", json=body) as response:
            token = (await response.json())["token"]
        path = consultation_url.rpartition("/")[2]
        headers = {"Authorization": f"Bearer {token}"}
        async with http.get(f"{base}/api/v1/consultations/{path}", headers=headers) as response:
            return datetime.fromisoformat((await response.json())["start_time"])


async def login_of(base: str, doctor_id: str) -> str:
    """Which demo account this doctor has."""
    async with aiohttp.ClientSession() as http:
        for number in range(1, 9):
            body = {"email": f"doctor{number}@example.org", "password": PASSWORD, "token": True}
            async with http.post(f"{base}/api/v1/auth/login", json=body) as response:
                if (await response.json())["me"]["doctor_id"] == doctor_id:
                    return f"doctor{number}"
    raise AssertionError(doctor_id)


async def prescribe(page: Page) -> None:
    """Write a prescription during the call; the call goes on."""
    await page.fill("[name=diagnosis]", "Viral fever")
    await page.fill("[name=medicine_1_name]", "PARACETAMOL")
    await page.fill("[name=medicine_1_dose]", "500 mg")
    await page.fill("[name=medicine_1_frequency]", "दिन में तीन बार")
    await page.fill("[name=medicine_1_days]", "3")
    await page.locator("form[action$='/prescriptions'] button[type=submit]").click()
    await expect(page.locator("a[href*='.pdf']").first).to_be_visible(timeout=10000)
    await expect(page.locator("main[data-page=consultation]")).to_have_attribute("data-state", "live")
