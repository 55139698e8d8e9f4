"""How a file comes in: multipart, counted while it arrives, one file and a few short fields, so many at once."""

from __future__ import annotations

from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import ValidationError

from server.core import jsongate
from server.core.edge.bodies import deadline, refused
from server.core.errors import FieldError, Invalid, Malformed, TooLarge, Unavailable, WrongMediaType
from server.core.models import Ask
from server.core.routes import Route, Upload
from server.core.turns import Turns

AT_ONCE = 6  # each holds its file in memory until it is stored
WAIT_SECONDS = 10
MOST_PARTS = 8
MOST_FIELD_BYTES = 4096
AROUND_BYTES = 16 * 1024  # boundaries and headers of the parts
CHUNK = 64 * 1024


class UploadTurns(Turns):
    """Lets so many uploads be in memory at a time. Raises Unavailable when no place becomes free in time."""

    def __init__(self) -> None:
        super().__init__(AT_ONCE, WAIT_SECONDS)

    async def __aenter__(self) -> float:
        try:
            return await super().__aenter__()
        except TimeoutError:
            raise Unavailable("Many files are being sent just now.", retry_after_seconds=5) from None


async def read_upload(route: Route, request: web.Request, *, seconds: float) -> tuple[Ask, dict[str, Any], str | None]:
    """The ask with its file, the fields, and a form's CSRF token; all of it has so many seconds to arrive.

    Raises WrongMediaType, TooLarge as soon as it is, Malformed, Invalid.
    """
    if request.content_type != "multipart/form-data":
        raise WrongMediaType("This call takes multipart/form-data with one file.")
    if request.content_length is not None and request.content_length > route.body.most_bytes + AROUND_BYTES:
        raise TooLarge(f"At most {route.body.most_bytes} bytes.")
    texts: dict[str, str] = {}
    upload: Upload | None = None
    try:
        async with deadline(request, seconds):
            reader = await request.multipart()
            for _ in range(MOST_PARTS):
                part = await reader.next()
                if part is None:
                    break
                if not isinstance(part, BodyPartReader) or part.name is None or part.name in texts:
                    raise Malformed("A part of the form has no name, has parts of its own, or comes twice.")
                if part.name == "file":
                    if upload is not None:
                        raise Malformed("One file at a time.")
                    content = await _read(part, route.body.most_bytes)
                    upload = Upload(
                        name=part.filename or "", media_type=part.headers.get("Content-Type", ""), content=content
                    )
                else:
                    texts[part.name] = (await _read(part, MOST_FIELD_BYTES)).decode()
            else:
                raise Malformed(f"At most {MOST_PARTS - 1} parts.")
    except (ValueError, RuntimeError, AssertionError, EOFError, HttpProcessingError):
        raise Malformed("The form cannot be read.") from None
    if upload is None:
        raise Invalid(errors=[FieldError(field="file", code="missing", message="Field required")])
    jsongate.check(texts)
    csrf = texts.pop("csrf_token", None)
    fields: dict[str, Any] = {**texts, **request.match_info}
    try:
        return route.ask.model_validate({**fields, "file": upload}, strict=False), fields, csrf
    except ValidationError as error:
        raise refused(error) from None


async def _read(part: BodyPartReader, most: int) -> bytes:
    held = bytearray()
    while chunk := await part.read_chunk(CHUNK):
        held += chunk
        if len(held) > most:
            raise TooLarge(f"At most {most} bytes.")
    return bytes(held)
