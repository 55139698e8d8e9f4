"""Listening to Redis: what arrives on the channels is believed only with the house's signature.

Nothing that does not arrive is lost: the log's sweep finds it.
"""

from __future__ import annotations

import logging
from typing import Protocol

from redis.asyncio import Redis

from server.core.cipher import Cipher
from server.core.subscriptions import Subscriptions

log = logging.getLogger(__name__)
SIGNATURE = 16


class Ear(Protocol):
    """Who is told what the channels say."""

    def heard(self, channel: str, body: bytes) -> None:
        """A message of ours, its signature checked and taken off."""
        ...

    def confirmed(self, channel: str) -> None:
        """Redis says that the channel is subscribed, first or again: what came before may be missing."""
        ...


class Channels:
    """The channels this process wants to hear."""

    def __init__(self, redis: Redis, cipher: Cipher, ear: Ear) -> None:
        self._cipher = cipher
        self._ear = ear
        self._subscriptions = Subscriptions(redis, message=self._heard, confirmed=ear.confirmed)
        self.want = self._subscriptions.want
        self.unwant = self._subscriptions.unwant
        self.start = self._subscriptions.start
        self.stop = self._subscriptions.stop
        self.garbage = 0
        """Messages that were not ours."""

    def _heard(self, channel: str, data: bytes) -> None:
        body = data[SIGNATURE:]
        if self._cipher.signed(data[:SIGNATURE], body):
            self._ear.heard(channel, body)
            return
        self.garbage += 1
        if self.garbage in (1, 10, 100) or self.garbage % 1000 == 0:
            log.warning("a message on a channel is not ours", extra={"count": self.garbage})
