"""Stock python-socketio with its Redis manager, to measure beside: a server on aiohttp, and its official emitter.

python -m bench.fanout.stock serve|emit REDIS_URL [PORT]
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from typing import Any

import socketio
from aiohttp import web

from bench.fanout.lines import serve_lines

BODY_BYTES = 200


def serve(redis_url: str, port: int) -> None:
    """As it comes, but for the manager and our own heartbeat; a client joins the room that it names."""
    sio: Any = socketio.AsyncServer(
        async_mode="aiohttp",
        cors_allowed_origins="*",
        client_manager=socketio.AsyncRedisManager(redis_url),
        ping_interval=10,
        ping_timeout=10,
    )

    async def join(sid: str, room: str) -> str:
        await sio.enter_room(sid, room)
        return "ok"

    async def subscribe(sid: str, ask: dict[str, str]) -> dict[str, Any]:
        await sio.enter_room(sid, ask["room"])
        return {"ok": True, "offset": 0}

    sio.on("join", join)
    sio.on("subscribe", subscribe)
    app = web.Application()
    sio.attach(app)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


async def emit(redis_url: str) -> None:
    """Serve `{batches, interval}` as bench.fanout.events does, with the emitter for other processes."""
    manager: Any = socketio.AsyncRedisManager(redis_url, write_only=True)

    async def answer(ask: dict[str, Any]) -> dict[str, Any]:
        sent: list[tuple[int, float]] = []
        begun = time.monotonic()
        for number, batch in enumerate(ask["batches"]):
            await asyncio.sleep(begun + number * ask["interval"] - time.monotonic())
            for room, count in batch:
                for _ in range(count):
                    sent.append((room, time.monotonic()))
                    await manager.emit("event", {"data": secrets.token_hex((BODY_BYTES - 11) // 2)}, room=f"r{room}")
        return {"sent": sent}

    await serve_lines(answer)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        asyncio.run(emit(sys.argv[2]))
