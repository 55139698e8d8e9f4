"""Operations in a browser: the page that an administrator left open shows who comes, without being loaded again."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import Running
from tests.browser.people import somebody


async def test_the_numbers_change_by_themselves(up: Running, chromium: Browser) -> None:
    async with somebody(up.base, "admin") as mira, somebody(up.base, "doctor3") as doctor:
        page = await (await mira.context(chromium)).new_page()
        page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
        await page.goto(f"{up.base}/admin/operations")
        await expect(page.locator("[data-figure=doctors]")).to_have_text("0")
        await expect(page.locator("[data-servers] tr")).to_have_count(2, timeout=15_000)
        desk = await (await doctor.context(chromium)).new_page()
        await desk.goto(f"{up.base}/queue")
        await expect(page.locator("[data-figure=doctors]")).to_have_text("1", timeout=15_000)
        await desk.close()
        await expect(page.locator("[data-figure=doctors]")).to_have_text("0", timeout=15_000)
        await expect(page.locator("[data-state]")).to_have_text("Everything runs.", timeout=30_000)
        await page.context.set_offline(True)
        await expect(page.locator("connection-banner")).to_be_visible()
