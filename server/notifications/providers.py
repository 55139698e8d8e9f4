"""What carries messages out of the house: a provider a channel, each with its answer in the house's own words."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from server.core.errors import Unavailable
from server.notifications.models import Message, Outcome

SECONDS = 20
MOST_BYTES = 64 * 1024


class TryAgain(Unavailable):
    """The provider does not take messages now."""


class Provider(Protocol):
    """What sends one message of its channel."""

    async def send(self, message: Message) -> Outcome:
        """Send it; the message's id is its name also at the provider, where that knows names. Raises TryAgain."""
        ...


class PublicAddresses(AbstractResolver):
    """Names that lead to public addresses only: what a client names must not lead into our own network."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name that are public. Raises OSError when there are none."""
        found = await self._resolver.resolve(host, port, family)
        public = [entry for entry in found if is_public(entry["host"])]
        if not public:
            raise OSError(None, f"{host} has no public address")
        return public

    async def close(self) -> None:
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Whether an address is of the open internet, also beneath its IPv6 form."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    return found.is_global and not found.is_multicast


@dataclass(frozen=True, slots=True)
class Posted:
    """A provider's answer."""

    status: int
    body: bytes


async def post_outside(
    url: str,
    *,
    data: bytes | Mapping[str, str],
    headers: Mapping[str, str] | None = None,
    public_only: bool = False,
) -> Posted:
    """POST to a provider: no redirects, twenty seconds, the first 64 KiB of its answer. Raises TryAgain."""
    connector = aiohttp.TCPConnector(resolver=PublicAddresses() if public_only else None)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=SECONDS)) as http,
            http.post(url, data=data, headers=headers, allow_redirects=False) as answer,
        ):
            return Posted(answer.status, await answer.content.read(MOST_BYTES))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise TryAgain(f"The provider could not be reached: {type(error).__name__}.") from error
