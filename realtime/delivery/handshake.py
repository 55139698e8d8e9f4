"""What a Socket.IO handshake is answered: the session's opening words, or in a client's own terms why not."""

from __future__ import annotations

import secrets

from aiohttp import web

from realtime.delivery.frames import compact
from realtime.delivery.limits import Bounds

USE_WEBSOCKET = 'This server speaks WebSocket only: connect with {transports: ["websocket"]}.'


def opening(eio_id: str, bounds: Bounds) -> dict[str, object]:
    """The session's opening words: its id and the heartbeat to expect, in milliseconds."""
    return {
        "sid": eio_id,
        "upgrades": [],
        "pingInterval": bounds.ping_seconds * 1000,
        "pingTimeout": bounds.pong_seconds * 1000,
        "maxPayload": bounds.frame_bytes,
    }


def no_handshake() -> web.Response:
    """Neither polling nor a WebSocket that can be opened."""
    problem = {
        "type": "/problems/malformed",
        "title": "This is no Socket.IO handshake.",
        "status": 400,
        "detail": "Connect with Engine.IO 4 and a WebSocket of version 13.",
        "request_id": secrets.token_urlsafe(12),
    }
    return web.json_response(problem, status=400, content_type="application/problem+json")


def foreign_origin() -> web.Response:
    """A handshake from a page of another site."""
    problem = {
        "type": "/problems/foreign-request",
        "title": "This request did not come from our pages.",
        "status": 403,
        "detail": "The Origin header names another site.",
        "request_id": secrets.token_urlsafe(12),
    }
    return web.json_response(problem, status=403, content_type="application/problem+json")


def answer_polling(request: web.Request, origin: str | None, bounds: Bounds) -> web.Response:
    """A valid Engine.IO answer to a client that begins with polling, whose CONNECT_ERROR says what to set."""
    headers = {"Cache-Control": "no-store"}
    if origin is not None:
        headers |= {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin"}
    if request.method == "OPTIONS":
        headers |= {"Access-Control-Allow-Headers": "Content-Type, Authorization"}
        return web.Response(headers=headers)
    if request.method == "POST":
        return web.Response(text="ok", headers=headers)
    if "sid" in request.query:
        return web.Response(text="1", headers=headers)
    opened = opening(secrets.token_urlsafe(15), bounds)
    refusal = {"message": USE_WEBSOCKET, "data": {"type": "/problems/websocket-only", "transports": ["websocket"]}}
    return web.Response(text=f"0{compact(opened)}\x1e44{compact(refusal)}", headers=headers)
