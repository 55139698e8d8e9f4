"""S6: a page of times that lies open: what can no longer be booked becomes unbookable by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Running
from tests.browser.people import somebody

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


async def test_a_time_ends_by_itself_when_the_doctors_notice_begins(up: Running, chromium: Browser) -> None:
    async with somebody(up.base, "doctor7") as doctor:
        path = f"/doctors/{doctor.me['doctor_id']}"
        hours: dict[str, object] = {"time_zone": "Asia/Kolkata", "slot_minutes": 5, "weekly": [], "lead_minutes": 1}
        await doctor.call("PUT", f"{path}/hours", hours)
        # Bookable for some seconds more: a page is open by then.
        begins = datetime.now(UTC) + timedelta(seconds=75)  # noqa: TID251 - a test's own clock
        extra = {"from": begins.isoformat(), "to": (begins + timedelta(minutes=10)).isoformat()}
        assert (await doctor.call("POST", f"{path}/extra-hours", extra))["slots_made"] == 2
        page = await (await chromium.new_context()).new_page()
        await page.goto(f"{up.base}{path}?lang=en")
        first, second = page.locator("button.slot").nth(0), page.locator("button.slot").nth(1)
        await expect(first).to_be_enabled()
        await first.click()
        await expect(page.locator("form[data-chosen]")).to_be_visible()
        await expect(first).to_be_disabled(timeout=40_000)
        await expect(first.locator("small")).to_have_text("past")
        await expect(page.locator("form[data-chosen]")).to_be_hidden()
        await expect(second).to_be_enabled()


async def test_a_time_that_somebody_takes_moves_nothing_under_who_reads(up: Running, chromium: Browser) -> None:
    async with somebody(up.base, "doctor6") as doctor, somebody(up.base, "patient2") as patient:
        path = f"/doctors/{doctor.me['doctor_id']}"
        page = await (await chromium.new_context(viewport={"width": 360, "height": 740})).new_page()
        await page.goto(f"{up.base}{path}?lang=en")
        free = page.locator("[data-slots] button[name=slot_id]:not([disabled])")
        before, mine = free.nth(12), free.nth(20)
        taken = await before.get_attribute("value")
        own = await mine.get_attribute("value")
        await mine.scroll_into_view_if_needed()
        await mine.focus()
        place = await mine.bounding_box()
        await patient.call("POST", "/consultations", {"slot_id": taken})
        gone = page.locator(f"[data-slots] button[value='{taken}']:not([disabled])")
        await expect(gone).to_have_count(0, timeout=5000)
        assert await page.evaluate("() => document.activeElement?.value") == own
        assert place is not None
        assert await page.locator(f"[data-slots] button[value='{own}']").bounding_box() == place
