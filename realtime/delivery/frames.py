"""Messages as they stand on the wire: Socket.IO text packets inside one unmasked WebSocket frame each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted

_TEXT = 0x81  # FIN and opcode 1 (RFC 6455 section 5.2)


def text_frame(text: str) -> bytes:
    """One WebSocket text frame, unmasked as a server's are."""
    payload = text.encode()
    length = len(payload)
    if length < 126:
        return bytes((_TEXT, length)) + payload
    if length < 65536:
        return bytes((_TEXT, 126)) + length.to_bytes(2, "big") + payload
    return bytes((_TEXT, 127)) + length.to_bytes(8, "big") + payload


def compact(value: object) -> str:
    """JSON without spaces, letters as they are."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def event_object(room: str, offset: int | None, type_: str, data: str, at: str) -> str:
    """What `event` carries and what a replay lists. `data` is JSON already; what may be lost has no offset."""
    number = "" if offset is None else f'"offset":{offset},'
    return f'{{"room":{quoted(room)},{number}"type":{quoted(type_)},"data":{data},"at":{quoted(at)}}}'


def event_frame(event: str) -> bytes:
    """The frame of an `event` whose object is JSON already."""
    return text_frame(f'42["event",{event}]')


def message_frame(name: str, body: Mapping[str, object]) -> bytes:
    """The frame of any other message to a client (`bye`, `resync`)."""
    return text_frame(f'42["{name}",{compact(body)}]')


def acknowledgement_frame(call: int, body: str) -> bytes:
    """The frame that acknowledges a client's call number `call`; `body` is JSON already."""
    return text_frame(f"43{call}[{body}]")
