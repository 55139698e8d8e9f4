"""Push: hands a message to the push service of one browser (RFC 8030), sealed and vouched for."""

from __future__ import annotations

from email.utils import parseaddr

from server.core.clock import Clock
from server.core.settings import Settings
from server.notifications.devices import Subscription, is_push_service, push_payload, ttl_seconds
from server.notifications.models import Message, Outcome, State
from server.notifications.providers import TryAgain, post_outside
from server.notifications.web_push import BrowserKeys, own_key, seal_for, vouch

GONE = frozenset({404, 410})
NOT_OURS = frozenset({401, 403})  # subscribed with an earlier key of ours: this one will never open it
TAKEN = frozenset({200, 201, 202, 204})


class WebPush:
    """Pushes to one browser."""

    def __init__(self, settings: Settings, subscription: Subscription | None, clock: Clock) -> None:
        self._settings = settings
        self._subscription = subscription
        self._clock = clock

    async def send(self, message: Message) -> Outcome:
        """Push a message; bounced when the browser took its subscription back. Raises TryAgain."""
        found = self._subscription
        if found is None or not is_push_service(found.endpoint, self._settings):
            return Outcome(state=State.BOUNCED, error="device-gone")
        headers = message.content.headers
        now = self._clock()
        payload = push_payload(message.content.text, headers["Path"], headers["Topic"], headers["Content-Language"])
        key = own_key((self._settings.push_key or self._settings.secret).get_secret_value())
        answer = await post_outside(
            found.endpoint,
            data=seal_for(BrowserKeys.read(found.keys.p256dh, found.keys.auth), payload),
            headers={
                "Authorization": vouch(key, found.endpoint, self._contact(), now),
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "TTL": str(ttl_seconds(message.valid_until, now)),
                "Urgency": headers["Urgency"],
                "Topic": headers["Topic"],
            },
            public_only=not self._settings.push_insecure,
        )
        if answer.status in TAKEN:
            return Outcome(state=State.SENT)
        if answer.status in GONE or answer.status in NOT_OURS:
            return Outcome(state=State.BOUNCED, error=f"push-{answer.status}")
        if answer.status == 429 or answer.status >= 500:
            raise TryAgain(f"The push service did not take it: {answer.status}.")
        return Outcome(state=State.FAILED, error=f"push-{answer.status}")

    def _contact(self) -> str:
        """Whom a push service may write to about our pushes (RFC 8292 section 2.1)."""
        return f"mailto:{parseaddr(self._settings.mail_from)[1]}"
