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
