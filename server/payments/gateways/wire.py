"""One call to a provider over HTTP: bounded in time and size, its failures sorted into "later" and "never"."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from server.payments.gateway import GatewayAway, GatewayRefused

log = logging.getLogger(__name__)
M = TypeVar("M", bound=BaseModel)
MOST_BYTES = 4 * 1024 * 1024
CHUNK = 64 * 1024
# Worth trying again; every other 4xx is the provider's last word.
LATER = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class Line:
    """Where a provider is, who asks there, and how long an answer may take."""

    provider: str
    url: str
    user: str
    password: str
    timeout_seconds: float

    async def call(
        self,
        method: str,
        path: str,
        answer: type[M],
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> M:
        """One request and its answer. Raises GatewayAway, GatewayRefused.

        A connection of its own: the worker asks a few times a minute, and nothing is left to break in between.
        """
        timeout = aiohttp.ClientTimeout(total=self.timeout_seconds)
        known = aiohttp.encode_basic_auth(self.user, self.password)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"Authorization": known}) as session,
                session.request(
                    method,
                    URL(self.url + path, encoded=True),
                    params=query,
                    data=form,
                    json=body,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                raw = await self._read(response)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise self._away(type(error).__name__) from None
        if status >= 500 or status in LATER:
            raise self._away(str(status))
        if status >= 300:
            raise GatewayRefused(f"{self.provider} answered {status} ({_code(raw)}).")
        try:
            return answer.model_validate_json(raw)
        except ValidationError:
            raise self._away("an answer that cannot be read") from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_chunked(CHUNK):
            size += len(part)
            if size > MOST_BYTES:
                raise self._away("an answer that does not end")
            parts.append(part)
        return b"".join(parts)

    def _away(self, why: str) -> GatewayAway:
        log.warning("a gateway is away", extra={"provider": self.provider, "error": why})
        return GatewayAway(retry_after_seconds=5)


def part(name: str) -> str:
    """A provider's name as one part of a path."""
    return quote(name, safe="")


class _Error(BaseModel):
    code: str | None = None
    type: str | None = None


class _Refusal(BaseModel):
    error: _Error = _Error()


def _code(raw: bytes) -> str:
    """The provider's own code of a refusal; never its words, which may hold what was sent."""
    try:
        error = _Refusal.model_validate_json(raw).error
    except ValidationError:
        return "no code"
    return json.dumps(error.code or error.type or "no code")[:80]
