"""How a request comes in: its path, query and body as one typed ask, or a problem that names the field."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl

from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from pydantic import ValidationError

from server.core import jsongate
from server.core.errors import FieldError, Invalid, Malformed, TooLarge, WrongMediaType
from server.core.models import Ask
from server.core.routes import Route

K = TypeVar("K", bound=Ask)
MOST_FIELDS = 100


async def read_ask(route: Route, request: web.Request, *, seconds: float) -> tuple[Ask, dict[str, Any], str | None]:
    """The ask, the fields it was made of, and a form's CSRF token; its body has so many seconds to arrive.

    Raises Invalid, Malformed, TooLarge.
    """
    fields: dict[str, Any] = dict(request.match_info)
    if route.body.kind == "signed":
        raw = await read_body(request, seconds)
        assert route.body.verify is not None
        fields |= route.body.verify(raw, request.headers) or {}
        if route.body.is_form:
            joined = _joined(fields, _form_fields(raw))
            return build_from_text(route.ask, joined), joined, None
        return build(route.ask, _joined(fields, _object(jsongate.parse(raw)))), fields, None
    if route.body.kind == "form":
        return await _read_form(route, request, fields, seconds)
    if route.body.kind == "none":
        joined = _joined(fields, _once(list(request.query.items()), ignore=("lang",)))
        return build_from_text(route.ask, joined), joined, None
    if request.query:
        raise Invalid(
            errors=[
                FieldError(field=name, code="extra_forbidden", message="Not taken in the address.")
                for name in request.query
            ]
        )
    raw = await read_body(request, seconds)
    if raw:
        if request.content_type != "application/json":
            raise WrongMediaType("This call takes application/json.")
        fields = _joined(fields, _object(jsongate.parse(raw)))
        if not request.match_info:  # the body is all of it, as it came
            return build_from_json(route.ask, raw), fields, None
    return build(route.ask, fields), fields, None


@contextlib.asynccontextmanager
async def deadline(request: web.Request, seconds: float) -> AsyncGenerator[None]:
    """What a body has to arrive in; the connection of one that has not is closed. Raises Malformed."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as late:
        request.content.set_exception(late)  # broken, as far as the edge is concerned: nobody waits for the rest
        raise Malformed(f"The body did not arrive within {seconds:g} seconds.") from None


async def read_body(request: web.Request, seconds: float) -> bytes:
    """All bytes, within the size and the time."""
    try:
        if request.content.is_eof():  # it came with its head: there is nothing to wait for
            return await request.read()
        async with deadline(request, seconds):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"At most {jsongate.MOST_BYTES} bytes.") from None
    except (ClientPayloadError, ConnectionResetError, web.RequestPayloadError, ValueError):
        raise Malformed("The body broke off or is not encoded as it says.") from None


def build(kind: type[K], fields: Mapping[str, object]) -> K:
    """A strict ask from JSON values. Raises Invalid with every field that is wrong."""
    return build_from_json(kind, json.dumps(dict(fields)))


def build_from_json(kind: type[K], text: str | bytes) -> K:
    """The same from JSON that has passed the gate."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise refused(error) from None


def build_from_text(kind: type[Ask], fields: dict[str, Any]) -> Ask:
    """An ask from an address or a form, where everything is text. Raises Invalid."""
    try:
        return kind.model_validate_strings(fields)
    except ValidationError as error:
        raise refused(error) from None


def refused(error: ValidationError) -> Invalid:
    """What pydantic found, as field errors without any of the input."""
    return Invalid(
        errors=[
            FieldError(
                field=".".join(str(part) for part in item["loc"]) or "body",
                code=item["type"],
                message=item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    )


async def _read_form(
    route: Route, request: web.Request, path: dict[str, Any], seconds: float
) -> tuple[Ask, dict[str, Any], str | None]:
    raw = await read_body(request, seconds)
    if raw and request.content_type != "application/x-www-form-urlencoded":
        raise WrongMediaType("This address takes a form.")
    fields = _form_fields(raw)
    csrf = fields.pop("csrf_token", None)
    # An empty field of a form is a field that was left out.
    joined = _joined(path, {name: value for name, value in fields.items() if value.strip() != ""})
    return build_from_text(route.ask, joined), joined, csrf


def _form_fields(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise Malformed("The form cannot be read.") from None
    return _once(pairs)


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(errors=[FieldError(field="body", code="dict_type", message="The body must be an object.")])
    return cast("dict[str, Any]", value)


def _joined(path: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    both = path.keys() & body.keys()
    if both:
        raise Invalid(
            errors=[FieldError(field=name, code="extra_forbidden", message="The address names it.") for name in both]
        )
    return {**path, **body}


def _once(pairs: list[tuple[str, str]], ignore: tuple[str, ...] = ()) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in ignore:
            continue
        if name in found:
            raise Invalid(errors=[FieldError(field=name, code="duplicate", message="Given twice.")])
        found[name] = value
    jsongate.check(found)
    return found
