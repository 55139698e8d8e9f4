"""The README's pictures, from the running product: `python -m docs.screenshot http://127.0.0.1:8080 PASSWORD`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

HERE = Path(__file__).parent / "pictures"
FLAGS = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


async def page_of(browser: Browser, base: str, who: str, password: str, width: int, language: str = "en-IN") -> Page:
    """A browser of somebody's own, signed in."""
    context = await browser.new_context(
        viewport={"width": width, "height": 800}, locale=language, permissions=["camera", "microphone"]
    )
    page = await context.new_page()
    await page.goto(f"{base}/login")
    await page.fill("input[name=email]", f"{who}@example.org")
    await page.fill("input[name=password]", password)
    await page.click("form[action='/login'] button[type=submit]")
    await page.wait_for_url(lambda url: "/login" not in url)
    return page


async def main(base: str, password: str) -> None:
    """Book with the free doctor, check in, be called, talk; a picture at each place worth one."""
    HERE.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        patient = await page_of(browser, base, "patient1", password, 360)
        await patient.goto(base)
        await patient.screenshot(path=HERE / "home-phone.png")
        desk = await page_of(browser, base, "doctor1", password, 1280)
        home = await page_of(browser, base, "patient2", password, 1280)
        await home.goto(base)
        await home.screenshot(path=HERE / "home.png")
        hindi = await page_of(browser, base, "patient3", password, 360, "hi-IN")
        await hindi.goto(f"{base}/?lang=hi")
        await hindi.screenshot(path=HERE / "home-hindi.png")

        doctor = patient.locator("a[href^='/doctors/']").first
        await patient.goto(base + str(await doctor.get_attribute("href")))
        await patient.screenshot(path=HERE / "doctor-phone.png")
        await patient.goto(f"{base}/?q=Rao")
        await patient.locator("a[href^='/doctors/']").first.click()
        slot = patient.locator("[data-slots] button[name=slot_id]:not([disabled])").first
        await patient.goto(f"{base}/book?slot_id={await slot.get_attribute('value')}")
        await patient.fill("[name=reason]", "Fever since Sunday, sore throat")
        await patient.check("input[name=consent]")
        await patient.click("form[action='/book'] button[type=submit]")
        await patient.wait_for_url("**/consultations/*")
        await patient.click("[data-action=check-in]")
        await patient.wait_for_selector("main[data-state=waiting]")
        await patient.screenshot(path=HERE / "waiting-phone.png")
        await desk.goto(f"{base}/queue")
        await desk.screenshot(path=HERE / "queue.png")
        path = patient.url.removeprefix(base).split("?")[0].split("#")[0]
        await desk.locator(f"form[action='{path}/call'] [data-action=call]:visible").first.click()
        await patient.wait_for_selector("main[data-state=called]")
        for page in (desk, patient):
            await page.locator("[data-action=join]:visible").first.click()
        for page in (desk, patient):
            await page.wait_for_selector("main[data-state=live]", timeout=30000)
        await desk.wait_for_function("() => document.querySelector('video[data-remote]').videoWidth > 0")
        await desk.wait_for_timeout(1500)
        await desk.screenshot(path=HERE / "call.png")
        await patient.screenshot(path=HERE / "call-phone.png")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
