"""Ask a virus scanner: clamd's INSTREAM (clamd(8)), pieces with their length before them, an empty one at the end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Literal
from urllib.parse import urlsplit

from server.core.errors import Unavailable

PIECE = 64 * 1024
SECONDS = 60
MOST_ANSWER = 4096


class ScannerAway(Unavailable):
    """The virus scanner does not answer, or does not say whether the file is clean."""

    code = "scanner-away"
    title = "The file could not be checked."


async def scan(url: str, content: bytes) -> Literal["clean", "blocked"]:
    """What clamd at `tcp://host:port` or `unix:///path` says of these bytes. Raises ScannerAway."""
    try:
        async with asyncio.timeout(SECONDS):
            answer = await _ask(url, content)
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError) as error:
        raise ScannerAway from error
    if answer == "stream: OK":
        return "clean"
    if answer.endswith(" FOUND"):
        return "blocked"
    raise ScannerAway("The scanner answered neither clean nor found.")


async def _ask(url: str, content: bytes) -> str:
    where = urlsplit(url)
    if where.scheme == "unix":
        reader, writer = await asyncio.open_unix_connection(where.path, limit=MOST_ANSWER)
    else:
        reader, writer = await asyncio.open_connection(where.hostname, where.port, limit=MOST_ANSWER)
    try:
        writer.write(b"zINSTREAM\0")
        for start in range(0, len(content), PIECE):
            piece = content[start : start + PIECE]
            writer.write(len(piece).to_bytes(4, "big") + piece)
            await writer.drain()
        writer.write(bytes(4))
        await writer.drain()
        return (await reader.readuntil(b"\0"))[:-1].decode("utf-8", "replace").strip()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
