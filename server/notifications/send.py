"""Sending: each message by its channel's provider, else into the inbox page. Tried again with growing pauses.

At least once: the message's id is its name at the provider, where that knows names.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import Any
from uuid import UUID

from asyncpg import Record

from server.accounts import NoteUndeliverable, note_undeliverable
from server.core.cipher import Cipher, Erased, Place
from server.core.models import Ask, Model
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.notifications import queries
from server.notifications import reminder_queries as reminders
from server.notifications.devices import Subscription, subscription_of
from server.notifications.events import NotificationQueued
from server.notifications.mail import SmtpMail
from server.notifications.models import Channel, Content, Message, Outcome, State
from server.notifications.providers import Provider, TryAgain
from server.notifications.push import WebPush
from server.notifications.sms import TwilioSms
from server.notifications.write import ASKED_FOR

log = logging.getLogger(__name__)
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=6)
MOST_TRIES = 9  # 30 s, 2 min, 8 min, 32 min, 2 h, 6 h, 6 h, 6 h: given up after most of a day
AT_ONCE = 100


class Notification(Ask):
    """One stored message."""

    id: UUID


class Opened(Model):
    """A message with its content."""

    id: UUID
    channel: Channel
    content: Content


class Leaving(Model):
    """A message at its turn: how often it was tried, and the device it is for; or why it does not leave."""

    message: Message | None = None
    subscription: Subscription | None = None
    tries: int = 0
    outcome: Outcome | None = None


class Inbox:
    """Where messages stay that have no provider: the demo's inbox page shows them."""

    async def send(self, message: Message) -> Outcome:
        """Nothing leaves."""
        del message
        return Outcome(state=State.SENT)


async def deliver(run: Run, ask: Notification, *, cipher: Cipher, settings: Settings) -> None:
    """Send a queued message; one that was settled before is left alone, one that is no longer true is dropped."""

    async def look(tx: Tx, ask: Notification) -> Leaving | None:
        row = await queries.take(tx, ask.id)
        return None if row is None else await _leaving(tx, row, cipher)

    leaving = await run.read(look, ask)
    if leaving is None:
        return
    if leaving.message is None:
        assert leaving.outcome is not None
        await run(_settling(None, cipher), (ask.id, leaving.outcome))
        return
    provider = _provider(leaving, settings, run)
    try:
        outcome = await provider.send(leaving.message)
    except TryAgain as problem:
        await _again(run, leaving.message, leaving.tries + 1, problem, cipher)
        return
    await run(_settling(leaving.message, cipher), (ask.id, outcome))


async def send_again(tx: Tx) -> bool:
    """Queue anew the messages whose next try is due; True when there may be more."""
    due = await queries.due_again(tx, AT_ONCE)
    for id_ in due:
        tx.emit(NotificationQueued(notification_id=id_))
    return len(due) == AT_ONCE


async def _leaving(tx: Tx, row: Record, cipher: Cipher) -> Leaving:
    if (outcome := await _why_not(tx, row)) is not None:
        return Leaving(outcome=outcome)
    try:
        text = await cipher.open(tx, row["user_id"], Place("notifications", "content", row["id"]), row["content"])
    except Erased:
        return Leaving(outcome=Outcome(state=State.DROPPED, error="erased"))
    content = Content.model_validate_json(text)
    message = Message(
        id=row["id"],
        user_id=row["user_id"],
        channel=row["channel"],
        kind=row["kind"],
        valid_until=row["valid_until"],
        content=content,
    )
    device = await subscription_of(tx, UUID(content.to), cipher) if message.channel == "push" else None
    return Leaving(message=message, subscription=device, tries=row["tries"])


async def _why_not(tx: Tx, row: Record) -> Outcome | None:
    """Why a message does not leave any more. Looked at last thing before it does: a consultation may be cancelled,
    or moved, while the reminder of it waits."""
    if row["channel"] == "mail" and row["undeliverable"] and row["kind"] not in ASKED_FOR:
        return Outcome(state=State.FAILED, error="address-undeliverable")
    if row["valid_until"] is not None and row["valid_until"] <= tx.now:
        return Outcome(state=State.DROPPED, error="too-late")
    if row["kind"] == "reminder":
        meeting = await reminders.live(tx, row["consultation_id"])
        if meeting is None or meeting["start_time"] != row["valid_until"]:
            return Outcome(state=State.DROPPED, error="no-longer-true")
    return None


def _provider(leaving: Leaving, settings: Settings, run: Run) -> Provider:
    assert leaving.message is not None
    channel = leaving.message.channel
    if channel == "mail" and settings.smtp_url is not None:
        return SmtpMail(settings)
    if channel == "sms" and settings.twilio_account is not None:
        return TwilioSms(settings)
    if channel == "push":
        return WebPush(settings, leaving.subscription, lambda: run.now)
    return Inbox()


async def _again(run: Run, message: Message, tries: int, problem: TryAgain, cipher: Cipher) -> None:
    if tries >= MOST_TRIES:
        log.error("a message is given up", extra={"notification_id": str(message.id), "tries": tries})
        await run(_settling(message, cipher), (message.id, Outcome(state=State.FAILED, error="provider-away")))
        return
    pause = min(FIRST_PAUSE * 4 ** (tries - 1), LONGEST_PAUSE) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    async def put_off(tx: Tx, ask: Message) -> None:
        await queries.try_later(tx, ask.id, tries, tx.now + pause, problem.detail)

    log.warning("a message waits", extra={"notification_id": str(message.id), "tries": tries, "error": problem.detail})
    await run(put_off, message)


def _settling(message: Message | None, cipher: Cipher) -> Any:
    """The operation that notes an outcome, and what follows from a bounce."""

    async def settle(tx: Tx, ask: tuple[UUID, Outcome]) -> None:
        id_, outcome = ask
        if not await queries.settle(tx, id_, outcome) or outcome.state is not State.BOUNCED or message is None:
            return
        if message.channel == "mail":
            bounced = NoteUndeliverable(user_id=message.user_id, email=message.content.to)
            await note_undeliverable(tx, bounced, cipher=cipher)
        elif message.channel == "push":
            await queries.remove_device(tx, UUID(message.content.to), message.user_id)

    return settle
