"""The JSON gate: what every body and every socket message passes before pydantic sees it (SECURITY E6)."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import cast

from server.core.errors import FieldError, Malformed, TooLarge

MOST_BYTES = 64 * 1024
MOST_DEPTH = 32
MOST_MEMBERS = 1000
MOST_INT = 2**53
_SURROGATE_OR_NUL = re.compile("[\ud800-\udfff\x00]")


def parse(body: bytes) -> object:
    """Read JSON within the bounds. Raises Malformed or TooLarge, never anything else."""
    if len(body) > MOST_BYTES:
        raise TooLarge(f"At most {MOST_BYTES} bytes.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("The body is not UTF-8.") from None
    if _deepest(body) > MOST_DEPTH:
        raise Malformed(f"Nested deeper than {MOST_DEPTH}.")
    try:
        value: object = _DECODER.decode(text)
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.") from None
    check(value)
    return value


def check(value: object) -> None:
    """The same bounds for what another library has parsed (a socket's packet). Raises Malformed, with the field."""
    stack: list[tuple[object, int, str]] = [(value, 0, "")]
    members = 0
    while stack:
        item, depth, field = stack.pop()
        if depth > MOST_DEPTH:
            raise _malformed(f"Nested deeper than {MOST_DEPTH}.", field)
        if isinstance(item, str):
            if _SURROGATE_OR_NUL.search(item):
                raise _malformed("Text holds NUL or half a character.", field)
        elif isinstance(item, dict):
            held = cast("dict[object, object]", item)
            members += len(held)
            for key, inner in held.items():
                stack.append((key, depth + 1, field))
                stack.append((inner, depth + 1, field or str(key)))
        elif isinstance(item, list):
            entries = cast("list[object]", item)
            members += len(entries)
            stack.extend((inner, depth + 1, field) for inner in entries)
        elif isinstance(item, float):
            if item != item or item in (float("inf"), float("-inf")):
                raise _malformed("Numbers must be finite.", field)
        elif isinstance(item, int) and not isinstance(item, bool) and abs(item) > MOST_INT:
            raise _malformed("A whole number is beyond 2^53.", field)
        elif isinstance(item, bytes):
            raise _malformed("Binary is not taken here.", field)
        if members > MOST_MEMBERS:
            raise Malformed(f"More than {MOST_MEMBERS} members.")


def _malformed(detail: str, field: str) -> Malformed:
    """The refusal, with the outermost field that holds what is wrong; without, where the key itself is the rubbish."""
    if not field or len(field) > 200 or _SURROGATE_OR_NUL.search(field):
        return Malformed(detail)
    return Malformed(detail, errors=[FieldError(field=field, code="malformed", message=detail)])


_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _deepest(body: bytes) -> int:
    if body.count(b"[") + body.count(b"{") <= MOST_DEPTH:
        return 0
    depth = deepest = 0
    for byte in _STRINGS.sub(b"", body):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _object(items: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(items)
    if len(found) < len(items):
        [(twice, _)] = Counter(key for key, _ in items).most_common(1)
        raise _malformed("A key stands twice in one object.", twice)
    return found


def _int(digits: str) -> int:
    # Thousands of digits take a long time to read: they become one number that `check` refuses, naming the field.
    return int(digits) if len(digits) <= 17 else MOST_INT + 1


def _no_constant(name: str) -> object:
    raise Malformed(f"{name} is no JSON.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_constant=_no_constant)
