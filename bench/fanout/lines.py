"""Processes that obey JSON lines: the child's side, and the side that asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

MOST_BYTES = 256 * 1024 * 1024
ANSWER_SECONDS = 300


async def serve_lines(answer: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]) -> None:
    """Answer each line of standard input with one line of standard output, until it ends."""
    reader = asyncio.StreamReader(limit=MOST_BYTES)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print("{}", flush=True)  # ready
    while line := await reader.readline():
        print(json.dumps(await answer(json.loads(line))), flush=True)


class Child:
    """A process that obeys lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid

    async def ready(self) -> dict[str, Any]:
        """Wait for the next line that it says. Raises TimeoutError, EOFError when it has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise EOFError(f"the child {self.pid} ended")
        return json.loads(line)

    async def ask(self, **ask: object) -> dict[str, Any]:
        """One line, and its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(ask).encode() + b"\n")
        await self._process.stdin.drain()
        return await self.ready()


@contextlib.asynccontextmanager
async def child(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
) -> AsyncGenerator[Child]:
    """Run it, what it says on standard error in a file; end its input, and it, afterwards."""
    whole = {**os.environ, **(env or {})}  # noqa: TID251 - what the children stand on
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            *(str(part) for part in command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            env=whole,
            limit=MOST_BYTES,
        )
    try:
        yield Child(process)
    except BaseException:
        sys.stderr.write(f"--- the end of {log.name}\n{log.read_text(errors='replace')[-3000:]}\n")
        raise
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
