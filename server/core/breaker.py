"""Not asking a server that does not answer."""

from __future__ import annotations

import time


class Breaker:
    """Keeps callers from a server that does not answer: after a failure nobody asks for a while, then one does.

    So a silent Redis costs one caller in each pause its time-out, and nobody else anything.
    """

    def __init__(self, pause_seconds: float) -> None:
        self._pause = pause_seconds
        self._broken_until: float | None = None

    @property
    def is_broken(self) -> bool:
        """Whether the last that was heard is a failure."""
        return self._broken_until is not None

    def may_ask(self) -> bool:
        """Whether the caller may ask now. Who is let through tells the outcome by `failed` or `worked`."""
        if self._broken_until is None:
            return True
        now = time.monotonic()
        if now < self._broken_until:
            return False
        self._broken_until = now + self._pause
        return True

    def failed(self) -> bool:
        """It did not answer. True for the first failure after it last worked."""
        is_news = self._broken_until is None
        self._broken_until = time.monotonic() + self._pause
        return is_news

    def worked(self) -> None:
        """It answered."""
        self._broken_until = None
