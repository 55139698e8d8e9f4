"""The clock: all time in the product comes from here, UTC and aware."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The moment it is, UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place


def shifted_clock(shift_seconds: float) -> Clock:
    """A clock that runs `shift_seconds` ahead of (or behind) the machine's: `amrutam up --clock`."""
    if not shift_seconds:
        return utc_now
    shift = timedelta(seconds=shift_seconds)
    return lambda: utc_now() + shift
