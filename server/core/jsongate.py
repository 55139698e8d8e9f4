"""The JSON gate: what every body and every socket message passes before pydantic sees it (SECURITY E6)."""

from __future__ import annotations

import json
import re
from typing import cast

from server.core.errors import Malformed, TooLarge

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
    members = 0

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal members
        members += len(items)
        if members > MOST_MEMBERS:
            raise Malformed(f"More than {MOST_MEMBERS} members.")
        found = dict(items)
        if len(found) != len(items):
            raise Malformed("A key stands twice in one object.")
        return found

    try:
        value: object = json.loads(text, object_pairs_hook=pairs, parse_int=_int, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Malformed("The body is not JSON.") from None
    check(value)
    return value


def check(value: object) -> None:
    """The same bounds for what another library has parsed (a socket's packet). Raises Malformed."""
    stack: list[tuple[object, int]] = [(value, 0)]
    members = 0
    while stack:
        item, depth = stack.pop()
        if depth > MOST_DEPTH:
            raise Malformed(f"Nested deeper than {MOST_DEPTH}.")
        if isinstance(item, str):
            if _SURROGATE_OR_NUL.search(item):
                raise Malformed("Text holds NUL or half a character.")
        elif isinstance(item, dict):
            held = cast("dict[object, object]", item)
            members += len(held)
            for key, inner in held.items():
                stack.append((key, depth + 1))
                stack.append((inner, depth + 1))
        elif isinstance(item, list):
            entries = cast("list[object]", item)
            members += len(entries)
            stack.extend((inner, depth + 1) for inner in entries)
        elif isinstance(item, float):
            if item != item or item in (float("inf"), float("-inf")):
                raise Malformed("Numbers must be finite.")
        elif isinstance(item, int) and not isinstance(item, bool) and abs(item) > MOST_INT:
            raise Malformed("A whole number is beyond 2^53.")
        elif isinstance(item, bytes):
            raise Malformed("Binary is not taken here.")
        if members > MOST_MEMBERS:
            raise Malformed(f"More than {MOST_MEMBERS} members.")


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


def _int(digits: str) -> int:
    if len(digits) > 17 or abs(int(digits)) > MOST_INT:
        raise Malformed("A whole number is beyond 2^53.")
    return int(digits)


def _no_constant(name: str) -> object:
    raise Malformed(f"{name} is no JSON.")
