"""Notices: each queued message leaves the house, at least once, in its own errand."""

from __future__ import annotations

from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Run
from server.notifications import Notification, NotificationQueued, deliver
from worker.registry import on


@on(NotificationQueued)
async def send(run: Run, event: NotificationQueued, *, cipher: Cipher, settings: Settings) -> None:
    """Hand the message to the mail server; the inbox page needs nothing more than its mark."""
    await deliver(run, Notification(id=event.notification_id), cipher=cipher, settings=settings)
