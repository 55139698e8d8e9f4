"""Notices: each queued message leaves the house, at least once, in its own errand; devices follow their sessions."""

from __future__ import annotations

from server.accounts import SessionEnded
from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.notifications import Notification, NotificationQueued, deliver, forget_devices
from worker.registry import on


@on(NotificationQueued)
async def send(run: Run, event: NotificationQueued, *, cipher: Cipher, settings: Settings) -> None:
    """Hand the message to its provider; where there is none the inbox page needs nothing more than its mark."""
    await deliver(run, Notification(id=event.notification_id), cipher=cipher, settings=settings)


@on(SessionEnded)
async def forget_the_browser(tx: Tx, event: SessionEnded) -> None:
    """Who logged out of a browser is not told on it any more."""
    await forget_devices(tx, event)
