"""Events of notifications."""

from __future__ import annotations

from uuid import UUID

from server.core.events import Event


class NotificationQueued(Event, name="notification.queued"):
    """A message is written and waits to leave the house."""

    notification_id: UUID
