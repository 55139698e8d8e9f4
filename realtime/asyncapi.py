"""The AsyncAPI document, made from the events, signals, rooms and commands that the server runs on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from realtime.delivery.commands import Command
from realtime.delivery.live_room import LiveRoom
from server.core.events import EVENTS, SIGNALS, Event, Signal
from server.core.settings import Settings

REF = "#/components/schemas/{model}"
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
    },
}
_INSTANT = {"type": "string", "format": "date-time"}
_CONTROL: dict[str, dict[str, Any]] = {
    "resync": {"room": {"type": "string"}, "reason": {"type": "string"}, "at": _INSTANT},
    "bye": {
        "code": {"type": "string"},
        "retry": {"type": "boolean"},
        "after_ms": {"type": "integer"},
        "at": _INSTANT,
    },
}


def document(settings: Settings, commands: Sequence[Command], rooms: Sequence[LiveRoom]) -> dict[str, Any]:
    """An AsyncAPI 3.0 document. The server's messages come by room, the client's by name with an acknowledgement."""
    templates = {kind.room.template for kind in rooms}
    told: list[type[Event] | type[Signal]] = [
        kind for kind in (*EVENTS.values(), *SIGNALS.values()) if any(room.template in templates for room in kind.rooms)
    ]
    results = [line.result for line in commands if _is_model(line.result)]
    models = [*((kind, "serialization") for kind in told), *((result, "serialization") for result in results)]
    asks = [(line.ask, "validation") for line in commands]
    _, shown = models_json_schema([*models, *asks], ref_template=REF)  # pyright: ignore[reportArgumentType]
    schemas: dict[str, Any] = {"Problem": _PROBLEM, **shown.get("$defs", {})}
    messages: dict[str, Any] = {}
    for kind in told:
        messages[kind.name] = _event_message(kind)
    for name, properties in _CONTROL.items():
        messages[name] = {"name": name, "payload": {"type": "object", "properties": properties}}
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for live in rooms:
        key = live.room.kind
        channels[key] = _channel(live, [kind for kind in told if live.room in kind.rooms])
        operations[f"hear.{key}"] = {"action": "send", "channel": {"$ref": f"#/channels/{key}"}}
    calls: dict[str, Any] = {}
    channels["calls"] = {
        "address": "/",
        "description": "Each call is acknowledged with {ok: true, at, ...} or {ok: false, error: a problem, at}.",
        "messages": calls,
    }
    for line in commands:
        messages[f"call.{line.name}"] = _call_message(line)
        calls[line.name] = {"$ref": f"#/components/messages/call.{line.name}"}
        operations[line.name] = {
            "action": "receive",
            "channel": {"$ref": "#/channels/calls"},
            "messages": [{"$ref": f"#/channels/calls/messages/{line.name}"}],
        }
    scheme, _, host = settings.public_url.partition("://")
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Amrutam, real time",
            "version": "1",
            "description": 'Socket.IO 4, WebSocket only: `io(url, {transports: ["websocket"], auth: {token}})`.',
        },
        "servers": {
            "here": {
                "host": host,
                "pathname": "/socket.io/",
                "protocol": "wss" if scheme == "https" else "ws",
                "security": [{"$ref": "#/components/securitySchemes/session"}],
            }
        },
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": schemas,
            "messages": messages,
            "securitySchemes": {"session": {"type": "http", "scheme": "bearer"}},
        },
    }


def _event_message(kind: type[Event] | type[Signal]) -> dict[str, Any]:
    addressed = {name for room in kind.rooms for name in room.fields}
    schema = kind.model_json_schema(mode="serialization", ref_template=REF)
    data = {name: inner for name, inner in schema.get("properties", {}).items() if name not in addressed}
    properties: dict[str, Any] = {
        "room": {"type": "string"},
        "type": {"const": kind.name},
        "data": {"type": "object", "properties": data},
        "at": _INSTANT,
    }
    required = ["room", "type", "data", "at"]
    if issubclass(kind, Event):
        properties["offset"] = {"type": "integer"}
        required.append("offset")
    return {
        "name": "event",
        "title": kind.name,
        "summary": _first_line(kind.__doc__),
        "payload": {"type": "object", "required": required, "properties": properties},
    }


def _call_message(line: Command) -> dict[str, Any]:
    ask = line.ask.model_json_schema(ref_template=REF)
    ask.pop("$defs", None)
    problems = ", ".join(sorted(problem.code for problem in line.raises))
    done: dict[str, Any] = {"type": "object", "properties": {"ok": {"const": True}, "at": _INSTANT}}
    if _is_model(line.result):
        reference = {"$ref": REF.format(model=line.result.__name__)}
        if line.under:
            done["properties"][line.under] = reference
        else:
            done = {"allOf": [done, reference]}
    refused = {
        "type": "object",
        "properties": {"ok": {"const": False}, "error": {"$ref": REF.format(model="Problem")}, "at": _INSTANT},
    }
    return {
        "name": line.name,
        "summary": _first_line(getattr(line.handler, "__doc__", "")),
        "description": f"Access: {line.access.name}." + (f" Problems: {problems}." if problems else ""),
        "payload": ask,
        "x-acknowledgement": {"oneOf": [done, refused]},
    }


def _channel(live: LiveRoom, told: Sequence[type[Event] | type[Signal]]) -> dict[str, Any]:
    return {
        "address": live.room.template,
        "description": "Public." if live.is_public else "For those whom REST lets see the same thing.",
        "parameters": {name: {} for name in re.findall(r"{(\w+)}", live.room.template)},
        "messages": {kind.name: {"$ref": f"#/components/messages/{kind.name}"} for kind in told},
    }


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().split("\n")[0]
