"""Waiting in a browser: the page hears of its time, the mail's link is spent by its button alone, the line of today."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Running
from tests.browser.people import Somebody, somebody

PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}}


async def taken(guest: Somebody, doctor: Somebody) -> dict[str, Any]:
    """A consultation in some hours that somebody else has."""
    listed = await guest.call("GET", f"/doctors/{doctor.me['doctor_id']}/slots")
    free = [slot for slot in listed["items"] if slot["status"] == "AVAILABLE"]
    return dict(await guest.call("POST", "/consultations", {"slot_id": free[9]["id"]}))


async def opened(chromium: Browser, who: Somebody, path: str) -> Page:
    """A page of theirs on a phone."""
    page = await (await who.context(chromium, **PHONE)).new_page()
    page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
    await page.goto(who.base + path)
    return page


async def wish(who: Somebody, booked: dict[str, Any]) -> None:
    ask = {"doctor_id": booked["doctor_id"], "from": booked["start_time"], "to": booked["end_time"]}
    await who.call("POST", "/waitlist", ask)


async def test_the_page_of_who_waits_hears_of_the_time_and_takes_it(up: Running, chromium: Browser) -> None:
    async with (
        somebody(up.base, "patient5") as first,
        somebody(up.base, "patient6") as waiter,
        somebody(up.base, "doctor1") as doctor,
    ):
        booked = await taken(first, doctor)
        await wish(waiter, booked)
        page = await opened(chromium, waiter, "/waitlist")
        await expect(page.get_by_text("You wait for a time between")).to_be_visible()
        await first.call("POST", f"/consultations/{booked['id']}/cancel")
        take = page.get_by_role("link", name="Yes, I take it")
        await expect(take).to_be_visible(timeout=15000)
        await expect(page.locator("hold-bar [data-left]")).not_to_be_empty()
        await take.click()
        await page.locator("#consent").check()
        await page.locator("[data-action=confirm-booking]").click()
        await page.wait_for_url(re.compile("/consultations/"))
        await page.goto(up.base + "/waitlist")
        await expect(page.get_by_text("You wait for nothing")).to_be_visible()


async def test_the_link_of_the_mail_books_without_a_login(up: Running, chromium: Browser) -> None:
    async with (
        somebody(up.base, "patient5") as first,
        somebody(up.base, "patient7") as waiter,
        somebody(up.base, "doctor1") as doctor,
    ):
        booked = await taken(first, doctor)
        await wish(waiter, booked)
        await first.call("POST", f"/consultations/{booked['id']}/cancel")
        page = await (await chromium.new_context(**PHONE)).new_page()
        link = ""
        for _ in range(60):
            async with waiter.http.get(f"{up.base}/dev/inbox.json") as answer:
                mails = [mail["text"] for mail in await answer.json() if mail["to"] == "patient7@example.org"]
            links = [found[0] for text in mails if (found := re.search(r"http\S+/waitlist/offer\?token=\S+", text))]
            if links:
                link = links[0]
                break
            await page.wait_for_timeout(250)
        await page.goto(link)
        await page.reload()
        await page.locator("#consent").check()
        await page.locator("[data-action=take-offer]").click()
        # It is booked; to see a consultation one logs in.
        await page.wait_for_url(re.compile("/login"))
        mine = await waiter.call("GET", "/consultations?when=upcoming")
        assert booked["slot_id"] in [held["slot_id"] for held in mine["items"]]
        await page.goto(link)
        await expect(page.locator("main")).to_have_attribute("data-answer", "booked")


async def test_who_comes_without_an_appointment_sits_in_the_waiting_room(up: Running, chromium: Browser) -> None:
    async with somebody(up.base, "patient8") as guest, somebody(up.base, "doctor1") as doctor:
        desk = await opened(chromium, doctor, "/queue")
        await desk.get_by_role("button", name="Let people come without one").click()
        await expect(desk.get_by_text("People may come today without an appointment.")).to_be_visible()
        page = await opened(chromium, guest, f"/doctors/{doctor.me['doctor_id']}")
        await page.get_by_label("I want to consult").check()
        await page.locator("[data-action=walk-in]").click()
        await expect(page.locator("main")).to_have_attribute("data-state", "waiting")
        await desk.get_by_role("button", name="By appointment only").click()
        await expect(desk.get_by_text("You see people by appointment only.")).to_be_visible()
