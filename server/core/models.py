"""Typed messages: what operations take (Ask) and what they give (Model), with the texts and instants they hold."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
)

from server.core.privacy import Level, level_of


class Model(BaseModel):
    """A frozen value. Its repr, which logs and tracebacks show, hides what is sensitive or critical."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    http_status: ClassVar[int | None] = None
    """What it answers with, where that is not the status of its route."""

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        for name, value in super().__repr_args__():
            level = level_of(type(self), name) if name in type(self).model_fields else Level.CRITICAL
            yield name, value if level < Level.SENSITIVE or value is None else f"‹L{int(level)}›"


class Ask(Model):
    """What a caller sends: strict types, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True, hide_input_in_errors=True)


class Nothing(Ask):
    """A call that takes nothing."""


class Done(Model):
    """A reply that says only that it is done."""

    done: bool = True


# Overrides and isolates can make a line read as another one; marks (U+200E, U+200F) and joiners are ordinary text.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")


def _clean(text: str) -> str:
    if _REORDERING.search(text):
        raise ValueError("must not hold characters that reorder text")
    if _CONTROLS.search(text):
        raise ValueError("must not hold control characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold half a character") from None
    return unicodedata.normalize("NFC", text)


def _one_line(text: str) -> str:
    if "\n" in text or "\t" in text:
        raise ValueError("must be one line")
    return text


def _instant(value: object) -> object:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("must be an RFC 3339 instant with its offset, as 2026-11-25T09:30:00Z")
    return datetime.fromisoformat(value.upper())


def _in_range(value: datetime) -> datetime:
    if not 2000 <= value.year <= 2200:
        raise ValueError("must lie between the years 2000 and 2200")
    return value.astimezone(UTC)


@functools.cache
def time_zones() -> frozenset[str]:
    """The names of the IANA list. Read once: the library goes through a thousand files each time it is asked."""
    return frozenset(available_timezones())


def _zone(value: str) -> str:
    if value not in time_zones():
        raise ValueError("must be a time zone of the IANA list, as Asia/Kolkata")
    return value


@functools.lru_cache(maxsize=4096)  # what happens now is told to several rooms, and slots begin when others do
def rfc3339(at: datetime) -> str:
    """An instant as every reply writes it: UTC, with `Z`, milliseconds where there are any."""
    utc = at if at.tzinfo is UTC else at.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_one_line),
    AfterValidator(_clean),
]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=120),
    AfterValidator(_one_line),
    AfterValidator(_clean),
]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000), AfterValidator(_clean)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.~+/=-]+$")]
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_instant),
    AfterValidator(_in_range),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
]
TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone), Level.PUBLIC]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Level.PUBLIC]


def zone(name: str) -> ZoneInfo:
    """The zone of a checked name."""
    return ZoneInfo(name)
