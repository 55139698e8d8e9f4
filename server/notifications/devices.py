"""Devices: the browsers that their owners want to be told on, and the push that reaches one."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, cast
from urllib.parse import urlsplit
from uuid import UUID

from asyncpg import Record
from pydantic import StringConstraints

from server.accounts import SessionEnded
from server.core.cipher import Cipher, Erased, Place
from server.core.errors import FieldError, Invalid, NotFound, Unauthenticated
from server.core.ids import UserId, new_id
from server.core.models import Ask, Done, Instant, Model, Nothing
from server.core.privacy import Level
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import queries
from server.notifications.web_push import BrowserKeys, WrongKeys, base64url, own_key, point_of

MOST_DEVICES = 10
Endpoint = Annotated[str, StringConstraints(min_length=10, max_length=1000, pattern=r"^[!-~]+$"), Level.CRITICAL]
Key = Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9_+/=-]+$"), Level.CRITICAL]


class DeviceKeys(Model):
    """The keys of a browser's subscription, in base64url."""

    p256dh: Key
    auth: Key


class AddDevice(Ask):
    """A browser's subscription, as PushSubscription.toJSON() gives it."""

    endpoint: Endpoint
    keys: DeviceKeys


class Subscription(Model):
    """A subscription as it is stored, sealed."""

    endpoint: Endpoint
    keys: DeviceKeys


class DeviceAsk(Ask):
    """One of one's own devices."""

    id: UUID


class Device(Model):
    """A device that is told; `this_one` is the one whose session asks."""

    id: UUID
    created_at: Instant
    this_one: bool


class Devices(Model):
    """All of them, newest first, and the key that a browser subscribes with."""

    key: Annotated[str, Level.PUBLIC]
    items: list[Device]


class EndpointRefused(Invalid):
    """Push goes to the push services that this server knows, over https, and nowhere else."""

    code = "endpoint-refused"
    title = "This browser's push service is not known here."


def push_key(settings: Settings) -> str:
    """The public key of our pushes, as browsers take it."""
    return base64url(point_of(own_key((settings.push_key or settings.secret).get_secret_value())))


async def add_device(tx: Tx, ask: AddDevice, *, cipher: Cipher, settings: Settings) -> Device:
    """Tell the caller on this browser from now on; what was known of it is replaced, also if it was another's.

    Raises EndpointRefused; Invalid for keys that are none.
    """
    user_id = _caller(tx)
    if not is_push_service(ask.endpoint, settings):
        raise EndpointRefused
    try:
        BrowserKeys.read(ask.keys.p256dh, ask.keys.auth)
    except WrongKeys:
        raise Invalid(
            errors=[FieldError(field="keys", code="keys", message="These are no keys of a browser.")]
        ) from None
    id_ = new_id(tx.now)
    stored = Subscription(endpoint=ask.endpoint, keys=ask.keys)
    sealed = await cipher.seal(tx, user_id, _place(id_), stored.model_dump_json())
    found = cipher.blind("push endpoint", ask.endpoint)
    await queries.add_device(tx, id_, user_id, tx.actor.session_id, sealed, found, MOST_DEVICES)
    return Device(id=id_, created_at=tx.now, this_one=tx.actor.session_id is not None)


async def list_devices(tx: Tx, ask: Nothing, *, settings: Settings) -> Devices:
    """The caller's devices."""
    del ask
    session_id = tx.actor.session_id
    return Devices(
        key=push_key(settings),
        items=[
            Device(
                id=row["id"],
                created_at=row["created_at"],
                this_one=session_id is not None and row["session_id"] == session_id,
            )
            for row in await queries.devices(tx, _caller(tx))
        ],
    )


async def remove_device(tx: Tx, ask: DeviceAsk) -> Done:
    """Tell the caller on this device no more. Raises NotFound."""
    if not await queries.remove_device(tx, ask.id, _caller(tx)):
        raise NotFound
    return Done()


async def forget_devices(tx: Tx, ended: SessionEnded) -> None:
    """Who logs out of a browser is not told on it any more: somebody else may sit there next."""
    await queries.end_devices(tx, ended.user_id, ended.session_id, ended.except_session_id)


async def device_ids(tx: Tx, user_id: UserId) -> Sequence[UUID]:
    """A user's devices."""
    return [cast(UUID, row["id"]) for row in await queries.devices(tx, user_id)]


async def subscription_of(tx: Tx, device_id: UUID, cipher: Cipher) -> Subscription | None:
    """A device's subscription, opened; None when it is gone, or its owner's data was erased."""
    row: Record | None = await queries.device(tx, device_id)
    if row is None:
        return None
    try:
        text = await cipher.open(tx, row["user_id"], _place(device_id), row["subscription"])
    except Erased:
        return None
    return Subscription.model_validate_json(text)


def is_push_service(endpoint: str, settings: Settings) -> bool:
    """Whether an address that a browser gave belongs to a push service we know (it is we who will call it)."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None or parts.fragment:
        return False
    if settings.push_insecure and _is_loopback(host):
        return parts.scheme in ("http", "https")
    if parts.scheme != "https" or port not in (None, 443):
        return False
    return any(host == known or host.endswith(f".{known}") for known in settings.push_hosts)


def push_payload(text: str, path: str, topic: str, language: str) -> bytes:
    """What the service worker shows: nothing that tells an illness, and the page that a press opens."""
    said = {"title": "Amrutam", "body": text, "url": path, "tag": topic, "lang": language}
    return json.dumps(said, ensure_ascii=False).encode()


def ttl_seconds(valid_until: datetime | None, now: datetime) -> int:
    """How long a push service keeps a message for a browser that is away: until it is no longer true, or a day."""
    if valid_until is None:
        return 86400
    return max(0, min(86400, int((valid_until - now).total_seconds())))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _caller(tx: Tx) -> UserId:
    if tx.actor.user_id is None:
        raise Unauthenticated
    return tx.actor.user_id


def _place(id_: UUID) -> Place:
    return Place("push_subscriptions", "subscription", id_)
