"""Mail that does not arrive: nobody at the address, a server that is away for a day, and news that ends meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from server.core.settings import Settings
from server.notifications import send_again
from tests.conftest import PASSWORD
from tests.house import Cast, House, open_house_of
from tests.outside import posting
from tests.test_field import page
from tests.test_letters import ALL_DONE, letter, remind_now

ASHAS = "patient1@example.org"
BANNER = "Our mails to you come back."


@dataclass
class Post:
    """A mail server with two words of its own: about a recipient, and about a mail."""

    of_recipient: str = "250 there"
    of_mail: str = "250 taken"
    asked: int = 0
    mails: list[EmailMessage] = field(default_factory=list[EmailMessage])
    reading: asyncio.Event | None = None
    """Set while a mail is read, where somebody wants to know; its answer then waits for `answer`."""
    answer: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: object, session: object, envelope: Any, address: str, options: object
    ) -> str:
        self.asked += 1
        if self.of_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.of_recipient

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        said = self.of_mail
        if self.reading is not None:
            self.reading.set()
            await self.answer.wait()
        if said.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, policy=default))
        return said


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
async def mailing(post: Post, settings: Settings, owner_url: str) -> AsyncIterator[Cast]:
    """A house that mails."""
    async with posting(settings, post) as found, open_house_of(found, owner_url) as house:
        yield await Cast.sign_in(house, PASSWORD)


async def outcome(house: House, cause: str) -> tuple[str, str | None]:
    """What became of the one message of a cause, once it is known."""
    [row] = await house.until("select state, error from notifications where cause like $1 and state <> 'queued'", cause)
    return row["state"], row["error"]


async def try_now(house: House) -> None:
    """Let the pause before the next try be over."""
    await house.sql("update dispatches set due_at = now() - interval '1 second'")
    await house.server.database.write(send_again, source="test")


async def test_nobody_at_the_address_is_told_by_a_banner_until_that_is_mended(mailing: Cast, post: Post) -> None:
    """Bounced -> other ways and a banner -> a link asked for, that arrives -> mails again."""
    house, asha = mailing.house, mailing.asha
    assert (await asha.patch("/me", phone="+919876543210")).status == 200
    assert BANNER not in await page(asha, "/")
    post.of_recipient = "550 5.1.1 nobody of that name here"
    first = await mailing.confirmed(asha, mailing.dr_rao)
    assert await outcome(house, "confirmed:%:mail") == ("bounced", "smtp-550")
    await house.until(ALL_DONE)
    assert (post.asked, (await asha.get("/me")).json["email_undeliverable"]) == (1, True)
    assert BANNER in await page(asha, "/")
    assert "हमारे मेल आपसे लौट आते हैं" in await page(asha, "/", "hi")
    assert ASHAS in await page(asha, "/account/telling")
    assert BANNER not in await page(mailing.vik, "/")

    assert (await asha.post(f"/consultations/{first['id']}/cancel")).status == 200
    await house.until(ALL_DONE)
    assert await house.value("select count(*) from notifications where cause like 'cancelled:%:mail'") == 0
    second = await mailing.confirmed(asha, mailing.dr_rao)
    await letter(house, f"confirmed:{second['id']}:sms")
    await house.until(ALL_DONE)
    assert post.asked == 1

    post.of_recipient = "250 there"
    assert (await asha.post("/auth/verify/again", key=None)).status == 202
    assert await outcome(house, "doubted:%:mail") == ("sent", None)
    [mail] = post.mails
    text = mail.get_body(("plain",))
    assert text is not None
    link = re.search(r"/verify\?token=(\S+)", text.get_content())
    assert link is not None
    assert (await asha.get("/me")).json["email_undeliverable"] is True
    assert (await house.stranger().post("/auth/verify", key=None, token=link[1])).status == 200
    assert (await asha.get("/me")).json["email_undeliverable"] is False
    assert BANNER not in await page(asha, "/")
    assert (await asha.post(f"/consultations/{second['id']}/cancel")).status == 200
    assert await outcome(house, f"cancelled:{second['id']}:mail") == ("sent", None)


@pytest.mark.parametrize(
    ("said", "state", "undeliverable"),
    [
        ("550 no such user", "bounced", True),
        ("550 5.2.1 mailbox disabled", "bounced", True),
        ("552 5.2.2 mailbox full", "failed", False),
        ("550 5.7.1 we do not like your address", "failed", False),
        ("554 5.7.1 blocked", "failed", False),
    ],
)
async def test_only_where_nobody_is_the_address_is_given_up(
    mailing: Cast, post: Post, said: str, state: str, undeliverable: bool
) -> None:
    post.of_recipient = said
    await mailing.confirmed(mailing.asha, mailing.dr_rao)
    assert await outcome(mailing.house, "confirmed:%:mail") == (state, f"smtp-{said[:3]}")
    await mailing.house.until(ALL_DONE)
    assert (await mailing.asha.get("/me")).json["email_undeliverable"] is undeliverable
    assert post.asked == 1


async def test_after_nine_tries_a_message_is_given_up(mailing: Cast, post: Post) -> None:
    """The pauses grow to six hours, each with a quarter of chance; then it is said to have failed, and is left."""
    house = mailing.house
    post.of_recipient = "451 4.3.0 not now"
    await mailing.confirmed(mailing.asha, mailing.dr_rao)
    waits = (30, 120, 480, 1920, 7680, 21600, 21600, 21600)
    for tries, seconds in enumerate(waits, 1):
        [row] = await house.until(
            "select due_at - now() as pause from dispatches where tries = $1 and due_at is not null", tries
        )
        assert timedelta(seconds=seconds * 0.75 - 20) < row["pause"] <= timedelta(seconds=seconds * 1.25)
        await try_now(house)
    assert await outcome(house, "confirmed:%:mail") == ("failed", "provider-away")
    await house.until(ALL_DONE)
    assert post.asked == len(waits) + 1
    assert await house.value("select count(*) from dispatches where due_at is not null") == 0
    # The address is none the worse for a server that is away.
    assert (await mailing.asha.get("/me")).json["email_undeliverable"] is False


@pytest.mark.parametrize("end", ["cancelled", "moved"])
async def test_a_reminder_that_is_being_sent_when_it_ends_is_not_sent_again(
    mailing: Cast, post: Post, end: str
) -> None:
    """R1: the mail server reads it in the second in which somebody cancels, and then has no room for it."""
    house = mailing.house
    booked = await mailing.confirmed(mailing.asha, mailing.dr_rao)
    await house.until("select 1 from notifications where cause like 'confirmed:%' and state = 'sent'")
    await house.until(ALL_DONE)
    post.mails.clear()
    post.reading, post.of_mail = asyncio.Event(), "452 4.3.1 no room"
    await remind_now(house, booked, "1h")
    async with asyncio.timeout(15):
        await post.reading.wait()
    if end == "cancelled":
        done = await mailing.dr_rao.post(f"/consultations/{booked['id']}/cancel")
    else:
        [*_, last] = await mailing.slots_of(mailing.dr_rao, 30)
        done = await mailing.asha.post(f"/consultations/{booked['id']}/reschedule", slot_id=last["id"])
    assert done.status == 200, done.text
    post.reading, post.of_mail = None, "250 taken"
    post.answer.set()
    await house.until("select 1 from dispatches where tries = 1 and due_at is not null")
    await try_now(house)
    assert await outcome(house, "reminder:%:mail") == ("dropped", "no-longer-true")
    await house.until("select 1 from notifications where cause like $1 and state = 'sent'", f"{end}:%:mail")
    await house.until(ALL_DONE)
    assert [mail["Subject"] for mail in post.mails if "Reminder" in mail["Subject"]] == []
    assert len(post.mails) == 1
