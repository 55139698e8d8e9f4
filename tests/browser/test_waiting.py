"""The waiting room in browsers: the line as both sides see it, files, and what was written offline."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Running
from tests.browser.people import Meeting, meeting, reads, say, somebody
from tests.test_attachments import a_photo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


async def to_queue(held: Meeting) -> Page:
    """The doctor's day."""
    context = await held.doctor.context(held.chromium)
    page = await context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
    await page.goto(f"{held.base}/queue")
    return page


async def test_a_late_doctor_a_skip_and_a_device_that_fails_are_seen_on_the_other_side(
    up: Running, chromium: Browser
) -> None:
    async with meeting(up.base, chromium) as one, meeting(up.base, chromium, patient="patient2") as two:
        queue = await to_queue(one)
        first = await one.open(one.patient, viewport={"width": 360, "height": 740})
        await expect(first.locator("[data-place]")).to_contain_text("first", timeout=15000)
        await expect(first.locator("[data-span]")).to_contain_text("between")
        await queue.select_option("#delay-minutes", "20")
        await queue.select_option("#delay-reason", "emergency")
        await queue.click("[data-action=tell-delay]")
        await expect(first.locator("[data-notice-words]")).to_contain_text("emergency", timeout=10000)
        await expect(queue.locator("[data-delay-told]")).to_be_visible()
        await queue.click("[data-delay-end] button")
        await expect(first.locator("[data-notice]")).to_be_hidden(timeout=10000)

        await first.evaluate("() => { window.failing = { video: 'NotFoundError' }; }")
        await first.click("[data-action=test-devices]")
        row = queue.locator(f"ol[data-waiting] li[data-id='{one.id}']")
        await expect(row.locator("[data-devices]")).to_contain_text("no camera", timeout=15000)

        # Live updates take neither focus nor place from who is busy on the page.
        chat = first.locator("form.chat-send input[name=text]").first
        await chat.focus()
        await chat.fill("I am wri")
        before = await chat.bounding_box()
        await row.locator("[data-action=skip]").click()
        await expect(first.locator("[data-place]")).to_contain_text("second", timeout=10000)
        await expect(queue.locator(f"ol[data-waiting] li[data-id='{one.id}'] [data-action=put-back]")).to_be_visible()
        assert await first.evaluate("() => document.activeElement?.getAttribute('name')") == "text"
        assert await chat.input_value() == "I am wri"
        after = await chat.bounding_box()
        assert before is not None
        assert after is not None
        assert abs(after["y"] - before["y"]) < 2
        ids = await queue.locator("ol[data-waiting] > li").evaluate_all("rows => rows.map((row) => row.dataset.id)")
        assert ids.index(two.id) < ids.index(one.id)
        await queue.locator(f"li[data-id='{one.id}'] [data-action=put-back]").click()
        await expect(first.locator("[data-place]")).to_contain_text("first", timeout=10000)


async def test_files_marks_and_the_pages_of_a_long_chat(up: Running, chromium: Browser) -> None:
    async with meeting(up.base, chromium) as held:
        path = f"/consultations/{held.id}/messages"
        for number in range(1, 231):
            await held.doctor.call("POST", path, {"client_id": f"c{number}", "text": f"line {number}."})
        patient = await held.open(held.patient, viewport={"width": 360, "height": 740})
        log = patient.locator(".chat-log")
        await expect(log.locator("li[data-number='230']")).to_be_visible(timeout=15000)
        # What the room knew comes above by itself; only what is older is asked for by scrolling.
        await expect(log.locator("li[data-number='31']")).to_have_count(1, timeout=15000)
        await patient.evaluate("() => { document.querySelector('.chat-scroll').scrollTop = 0; }")
        await expect(log.locator("li[data-number='1']")).to_have_count(1, timeout=15000)
        assert await log.locator("li[data-number]").count() == 230
        assert await patient.evaluate("() => document.querySelector('.chat-scroll').scrollTop") > 100

        doctor = await held.open(held.doctor)
        await say(patient, "Here is my arm.")
        await reads(doctor, "Here is my arm.")
        await expect(patient.locator(".chat-log li.mine [data-read]")).to_have_count(1, timeout=10000)
        await doctor.locator("form.chat-send input[name=text]").type("Let me")
        await expect(patient.locator("[data-typing]")).not_to_be_empty(timeout=5000)
        await expect(patient.locator("[data-typing]")).to_be_empty(timeout=8000)

        field = patient.locator("form.chat-attach input[type=file]")
        await field.set_input_files({"name": "बाँह.jpg", "mimeType": "image/jpeg", "buffer": a_photo(sideways=True)})
        link = doctor.locator(".chat-file a", has_text="बाँह.jpg")
        await expect(link).to_be_visible(timeout=15000)
        async with doctor.expect_download() as downloading:
            await link.click()
        assert (await downloading.value).suggested_filename == "बाँह.jpg"
        await field.set_input_files({"name": "page.html", "mimeType": "text/html", "buffer": b"<b>no</b>"})
        await expect(patient.locator("[data-attach-said]")).to_contain_text("Only pictures")


async def test_what_was_written_offline_outlives_reload_and_login_and_is_its_owners_alone(
    up: Running, chromium: Browser
) -> None:
    """W4: marked as not sent, sent once, and never seen by another person on the same browser."""
    async with meeting(up.base, chromium) as held, somebody(up.base, "patient2") as other:
        context = await held.patient.context(chromium)
        page = await held.open_in(context)
        await expect(page.locator("main")).to_have_attribute("data-state", "waiting", timeout=15000)
        await context.set_offline(True)
        await page.evaluate("() => window.dispatchEvent(new Event('offline'))")
        for text in ("written in the tunnel", "and this, too"):
            await say(page, text)
        await expect(page.locator(".chat-log .unsent")).to_have_count(2)
        await context.set_offline(False)
        # The socket does not open on the next page: what is unsent stays so, and is shown.
        await context.route(re.compile("/socket.io/"), lambda route: route.abort())
        await page.goto(held.url)
        await context.clear_cookies()
        await context.add_cookies([{"name": "amrutam", "value": other.token, "url": up.base}])
        stranger = await context.new_page()
        await stranger.goto(held.url)
        await stranger.goto(f"{up.base}/consultations")
        assert "tunnel" not in await stranger.content()
        await context.clear_cookies()
        await context.add_cookies([{"name": "amrutam", "value": held.patient.token, "url": up.base}])
        await context.unroute(re.compile("/socket.io/"))
        await page.goto(held.url)
        await expect(page.locator(".chat-log .unsent")).to_have_count(0, timeout=20000)
        listed = (await held.patient.call("GET", f"/consultations/{held.id}/messages"))["items"]
        assert [message["text"] for message in listed] == ["written in the tunnel", "and this, too"]


async def test_a_cancelled_consultation_ends_the_waiting_page_at_once(up: Running, chromium: Browser) -> None:
    """W1: by whom, what about the money, other times; no way into a call that will not be."""
    async with meeting(up.base, chromium) as held:
        page = await held.open(held.patient, viewport={"width": 360, "height": 740})
        await expect(page.locator("main")).to_have_attribute("data-state", "waiting", timeout=15000)
        await held.doctor.call("POST", f"/consultations/{held.id}/cancel")
        await expect(page.locator("main")).to_have_attribute("data-state", "ended", timeout=2000)
        await expect(page.locator("[data-ended-title]")).to_contain_text("cannot come")
        await expect(page.locator("[data-ended-why]")).to_contain_text("fee")
        await expect(page.locator("ul.slots a").first).to_be_visible(timeout=10000)
        assert await page.locator("[data-action=join]:visible").count() == 0


async def test_what_was_said_while_a_phone_was_offline_appears_without_a_reload(up: Running, chromium: Browser) -> None:
    """T1: in order, once, when the connection is back."""
    async with meeting(up.base, chromium) as held:
        context = await held.patient.context(chromium)
        page = await held.open_in(context)
        await expect(page.locator("main")).to_have_attribute("data-state", "waiting", timeout=15000)
        await page.evaluate("() => { window.stays = true; }")
        await context.set_offline(True)
        for number in (1, 2, 3):
            body = {"client_id": f"t{number}", "text": f"said {number}"}
            await held.doctor.call("POST", f"/consultations/{held.id}/messages", body)
        await context.set_offline(False)
        for number in (1, 2, 3):
            await expect(page.locator(f".chat-log li[data-number='{number}']")).to_have_text(
                re.compile(f"said {number}"), timeout=60000
            )
        assert await page.locator(".chat-log li[data-number]").count() == 3
        assert await page.evaluate("() => window.stays === true")
