"""A mail server on this machine that answers as its handler says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from aiosmtpd.smtp import SMTP
from pydantic import SecretStr

from server.core.settings import Settings


@contextlib.asynccontextmanager
async def posting(settings: Settings, post: object) -> AsyncGenerator[Settings]:
    """Settings with a mail server; `post` has aiosmtpd's handlers (`handle_DATA` at least)."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: SMTP(post, hostname="post", loop=loop), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        yield settings.model_copy(update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}")})
    finally:
        listening.close()
