"""The route table: what can be asked, as data. Validation, access, limits and OpenAPI follow from these lines."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar

from server.core.errors import Forbidden, Problem, StepUpRequired, Unauthenticated
from server.core.limits import ORDINARY, Budget
from server.core.models import Ask, Model
from server.core.privacy import Level
from server.core.tx import Actor, Role, Tx

STEP_UP_LASTS = timedelta(minutes=10)
M = TypeVar("M", bound=Model)
Handler = Callable[..., Awaitable[Any]]
Check = Callable[[Tx, Any], Awaitable[None]]
Verify = Callable[[bytes, typing.Mapping[str, str]], typing.Mapping[str, str] | None]


class Idempotent(Enum):
    """Whether a call takes an Idempotency-Key: never; always; always, and it acts at once (Database.write)."""

    NO = "no"
    REQUIRED = "required"
    AT_ONCE = "at once"


@dataclass(frozen=True)
class Access:
    """Who may call: a name for documents, the roles, and a look at the thing itself inside the transaction.

    `roles` None is everybody, signed in or not. `check` raises NotFound for what is not the caller's to see.
    """

    name: str
    roles: frozenset[Role] | None
    check: Check | None = None
    step_up: bool = False
    second_step: bool = False

    def and_(self, name: str, check: Check) -> Access:
        """The same with a look at the thing itself."""
        return Access(name, self.roles, check, self.step_up, self.second_step)


EVERY_ROLE = frozenset({Role.ADMIN, Role.DOCTOR, Role.PATIENT})
public = Access("public", None)
signed_in = Access("signed in", EVERY_ROLE)
as_patient = Access("patient", frozenset({Role.PATIENT}))
as_doctor = Access("doctor", frozenset({Role.DOCTOR}))
as_admin = Access("administrator", frozenset({Role.ADMIN}))
in_second_step = Access("signed in, or in the second step of a login", EVERY_ROLE, second_step=True)


def stepped_up(access: Access) -> Access:
    """The same, with the password given within the last ten minutes."""
    return Access(f"{access.name}, stepped up", access.roles, access.check, step_up=True)


def is_stepped_up(actor: Actor, now: datetime) -> bool:
    """Whether this person gave the password (and the second factor) within the last ten minutes."""
    return actor.auth_at is not None and now - actor.auth_at <= STEP_UP_LASTS


def admit(access: Access, actor: Actor, now: datetime) -> None:
    """Roles, the second step, the step-up: the same for every door.

    Raises Unauthenticated, Forbidden or StepUpRequired.
    """
    if access.roles is None:
        return
    if actor.role is None or actor.user_id is None:
        raise Unauthenticated
    if actor.second_step and not access.second_step:
        raise Unauthenticated("The second step of this login is still to be done.")
    if actor.role not in access.roles:
        raise Forbidden
    if access.step_up and not is_stepped_up(actor, now):
        raise StepUpRequired


@dataclass(frozen=True)
class Reply:
    """How a result leaves. `kind` picks the writer in the edge; `template` belongs to pages."""

    kind: Literal["json", "session_cookie", "page", "redirect", "pdf", "download", "text", "svg"]
    template: str = ""
    media_type: str = ""


json_reply = Reply("json")
session_cookie = Reply("session_cookie")
redirect = Reply("redirect")
pdf = Reply("pdf", media_type="application/pdf")


def page(template: str) -> Reply:
    """The result is the view of this template."""
    return Reply("page", template)


@dataclass(frozen=True)
class Body:
    """How a request comes in."""

    kind: Literal["none", "json", "form", "signed", "upload"]
    verify: Verify | None = None
    headers: typing.Mapping[str, str] = field(default_factory=dict[str, str])
    is_form: bool = False
    most_bytes: int = 0


json_body = Body("json")
form = Body("form")


def signed_by(verify: Verify, *, headers: typing.Mapping[str, str]) -> Body:
    """Raw bytes and headers are checked before they are parsed; the ask then is `{provider.., body}` of JSON, and what
    the check took out of the headers. `headers` says for documents which are needed, and what they hold."""
    return Body("signed", verify, headers=headers)


def signed_form_by(verify: Verify, *, headers: typing.Mapping[str, str]) -> Body:
    """The same for a provider that signs forms."""
    return Body("signed", verify, headers=headers, is_form=True)


def upload(*, max_mb: int) -> Body:
    """Multipart with one file of at most so many megabytes; the ask holds it as `file`."""
    return Body("upload", most_bytes=max_mb * 1_000_000)


class Upload(Model):
    """A file that came in, as it was sent: nothing about it is believed yet."""

    name: Annotated[str, Level.CRITICAL]
    media_type: str
    content: Annotated[bytes, Level.CRITICAL]


class SeeOther(Model):
    """A page's answer to a form: go there. Session and language travel as cookies beside it."""

    location: str
    begin_session: str | None = None
    end_session: bool = False
    language: str | None = None
    notice: str | None = None
    refresh_session: bool = False
    """Whether what is cached of the caller's session is out of date (a step-up)."""


class Document(Model):
    """A file as a result: bytes, their type and, for a download, a name."""

    content: bytes
    media_type: str
    filename: str = ""
    is_foreign: bool = False
    """Whether somebody sent it to us: it is saved, never shown, and may do nothing if it is opened here."""


@dataclass(frozen=True, slots=True)
class Encoded(Generic[M]):
    """A result that is JSON already: the model is what documents say of it."""

    body: bytes


@dataclass(frozen=True)
class Route:
    """One line of the table."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    access: Access
    status: int = 200
    scope: str = ""
    budget: Budget = ORDINARY
    idempotent: Idempotent = Idempotent.NO
    lock: str = ""
    raises: Sequence[type[Problem]] = ()
    reply: Reply = json_reply
    body: Body = json_body
    tags: Sequence[str] = ()
    ask: type[Ask] = field(init=False)
    result: Any = field(init=False)
    is_errand: bool = field(init=False)

    def __post_init__(self) -> None:
        bare = bare_function(self.handler)
        hints = typing.get_type_hints(bare)
        names = list(inspect.signature(bare).parameters)
        if names[:1] not in (["tx"], ["run"]) or names[1:2] != ["ask"]:
            raise TypeError(f"{bare.__qualname__} must take (tx, ask) or (run, ask)")
        object.__setattr__(self, "is_errand", names[0] == "run")
        object.__setattr__(self, "ask", hints["ask"])
        result = hints["return"]
        is_encoded = typing.get_origin(result) is Encoded
        object.__setattr__(self, "result", typing.get_args(result)[0] if is_encoded else result)

    @property
    def name(self) -> str:
        """The operation's name, as OpenAPI's operationId."""
        return bare_function(self.handler).__name__

    @property
    def is_api(self) -> bool:
        """Whether the route speaks JSON and problems (else pages)."""
        return self.reply.kind not in ("page", "redirect")


def bare_function(handler: Handler) -> Callable[..., Any]:
    """The function beneath its bound keywords."""
    while isinstance(handler, functools.partial):
        handler = typing.cast("Handler", handler.func)  # pyright: ignore[reportUnknownMemberType]
    return handler


def get(path: str, handler: Handler, *, access: Access, **rest: Any) -> Route:
    """A line that reads: its transaction is read-only."""
    return Route("GET", path, handler, access, body=Body("none"), **rest)


def post(path: str, handler: Handler, *, access: Access, **rest: Any) -> Route:
    """A line that acts."""
    return Route("POST", path, handler, access, **rest)


def put(path: str, handler: Handler, *, access: Access, **rest: Any) -> Route:
    """A line that replaces."""
    return Route("PUT", path, handler, access, **rest)


def patch(path: str, handler: Handler, *, access: Access, **rest: Any) -> Route:
    """A line that changes."""
    return Route("PATCH", path, handler, access, **rest)


def delete(path: str, handler: Handler, *, access: Access, **rest: Any) -> Route:
    """A line that takes away."""
    return Route("DELETE", path, handler, access, body=Body("none"), **rest)
