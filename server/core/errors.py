"""Problems: every refusal has a stable code, a status and a sentence (RFC 9457). Features subclass, no deeper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from server.core.events import Event


class FieldError(BaseModel):
    """What is wrong with one field of a request; `code` is stable, `message` is for people."""

    model_config = ConfigDict(frozen=True)

    field: str
    code: str
    message: str


class Problem(Exception):
    """A refusal. `record` is an event that outlives the rollback; `extra` joins the JSON as it is."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something broke on our side."

    def __init__(
        self,
        detail: str | None = None,
        *,
        record: Event | None = None,
        errors: Sequence[FieldError] = (),
        retry_after_seconds: int | None = None,
        **extra: object,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or _first_line(type(self)) or self.title
        self.record = record
        self.errors = tuple(errors)
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra

    def as_json(self, request_id: str) -> dict[str, object]:
        """The problem object that REST sends and sockets acknowledge with."""
        body: dict[str, object] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = [error.model_dump() for error in self.errors]
        for name, value in self.extra.items():
            body[name] = _plain(value)
        return body


class Invalid(Problem):
    """The request does not fit what this call takes; `errors` names the fields."""

    status = 422
    code = "invalid"
    title = "Something in this request is not right."


class Malformed(Problem):
    """The body is not JSON that this server reads: UTF-8, no duplicate keys, bounded in size and depth."""

    status = 400
    code = "malformed"
    title = "This request cannot be read."


class TooLarge(Problem):
    """The body is larger than this call takes."""

    status = 413
    code = "too-large"
    title = "This is too large."


class WrongMediaType(Problem):
    """The body is not of the type that this call takes."""

    status = 415
    code = "wrong-media-type"
    title = "This call takes another kind of body."


class Unauthenticated(Problem):
    """Nobody is signed in, or the session has ended."""

    status = 401
    code = "unauthenticated"
    title = "Please sign in."


class Forbidden(Problem):
    """Whoever asks may not do this."""

    status = 403
    code = "forbidden"
    title = "This is not yours to do."


class ForeignRequest(Forbidden):
    """The request came from another page: its Origin or its CSRF token is not ours."""

    code = "foreign-request"
    title = "This request did not come from our pages."


class StepUpRequired(Forbidden):
    """This act needs the password (and the second factor) again; a step-up is good for ten minutes."""

    code = "step-up-required"
    title = "Please confirm that it is you."


class NotFound(Problem):
    """There is no such thing, or it is not yours to see."""

    status = 404
    code = "not-found"
    title = "There is nothing here."


class MethodNotAllowed(Problem):
    """This address exists, but not for this method."""

    status = 405
    code = "method-not-allowed"
    title = "This address takes another method."


class Conflict(Problem):
    """What is asked does not fit the state that things are in."""

    status = 409
    code = "conflict"
    title = "This is not possible any more."


class TooMany(Problem):
    """More requests than the budget allows; Retry-After says when there is room again."""

    status = 429
    code = "rate-limited"
    title = "That was too often. Try again shortly."


class Internal(Problem):
    """Our failure. The request id finds it in the log."""


class Unavailable(Problem):
    """A part that this needs is away for a moment; nothing was changed unless it says otherwise."""

    status = 503
    code = "unavailable"
    title = "This does not work for a moment."


class OutcomeUnknown(Unavailable):
    """The connection broke while the change was being made. Asking again with the same key tells the truth."""

    code = "outcome-unknown"
    title = "We cannot tell yet whether this was done."


def _first_line(kind: type[Problem]) -> str:
    return (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
