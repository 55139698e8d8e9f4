"""How long an unpaid booking keeps its slot."""

from __future__ import annotations

from datetime import datetime, timedelta

from server.core.settings import Settings


def hold_until(now: datetime, settings: Settings) -> datetime:
    """When a booking made now gives its slot back unless it is paid."""
    return now + timedelta(minutes=settings.hold_minutes)
