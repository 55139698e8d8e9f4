"""Words of letters: a template's subject, short form and body in the reader's language, zone and numbers."""

from __future__ import annotations

import html
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, get_timezone_gmt, get_timezone_name
from babel.numbers import format_currency
from jinja2 import Environment, PackageLoader, StrictUndefined

from server.accounts import Person
from server.core.settings import Settings
from server.notifications.models import Letter, Meeting

_INDIA = frozenset({"Asia/Kolkata", "Asia/Calcutta"})
_INDIAN_TIME = {"en": "Indian time (IST)", "hi": "भारतीय समय (IST)"}
_OWN_NAME = {"en": "Amrutam", "hi": "अमृतम"}
# For a letter whose template has no short form: never its body, which may name what a lock screen must not.
_NEWS = {"en": "There is news for you. Please open Amrutam.", "hi": "आपके लिए कुछ नया है। कृपया अमृतम खोलें।"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A letter in words. `short` is its SMS and what a lock screen shows; None when it has no short form."""

    subject: str
    short: str | None
    body: str

    def sms(self, language: str) -> str:
        """The SMS: who writes, and the short form."""
        return f"{_OWN_NAME[language]}: {self.short or _NEWS[language]}"


def render(letter: Letter, reader: Person, meeting: Meeting | None, settings: Settings) -> Rendered:
    """A letter in words. A template is `Subject:`, maybe `Short:`, an empty line, and the body."""
    zone = ZoneInfo(reader.time_zone)
    language = reader.language

    def when(at: datetime) -> str:
        moment = format_datetime(at, "EEEE, d MMMM y, HH:mm", tzinfo=zone, locale=language)
        return f"{moment}, {_zone_name(reader.time_zone, language, at)}"

    def brief(at: datetime) -> str:
        moment = format_datetime(at, "EEE, d MMM, HH:mm", tzinfo=zone, locale=language)
        return f"{moment} ({_short_zone(reader.time_zone, at)})"

    def clock(at: datetime) -> str:
        return format_datetime(at, "HH:mm", tzinfo=zone, locale=language)

    def money(amount_minor: int, currency: str) -> str:
        return format_currency(amount_minor / 100, currency, locale=f"{language}_IN")

    text = (
        _letters()
        .get_template(f"{language}/{letter.kind}.txt")
        .render(
            name=reader.name,
            meeting=meeting,
            offered=letter.offered,
            link=letter.link or (meeting.link if meeting else settings.public_url),
            phone=settings.clinic_phone,
            home=settings.public_url,
            when=when,
            brief=brief,
            clock=clock,
            money=money,
        )
    )
    head, _, body = text.partition("\n\n")
    lines = dict(line.split(": ", 1) for line in head.strip().splitlines())
    return Rendered(subject=lines["Subject"].strip(), short=lines.get("Short"), body=body.strip())


def as_html(body: str, language: str) -> str:
    """The same letter for mail programs that show HTML: paragraphs, and addresses as links."""
    parts: list[str] = []
    for paragraph in body.split("\n\n"):
        if paragraph.startswith(("http://", "https://")):
            address = html.escape(paragraph.strip())
            parts.append(f'<p><a href="{address}">{address}</a></p>')
        else:
            parts.append("<p>" + html.escape(paragraph).replace("\n", "<br>") + "</p>")
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head>'
        f"<body>{''.join(parts)}</body></html>"
    )


def _zone_name(zone: str, language: str, at: datetime) -> str:
    """As the pages say it; a zone of elsewhere with its id too, since few know such names."""
    if zone in _INDIA:
        return _INDIAN_TIME[language]
    return f"{get_timezone_name(at.astimezone(ZoneInfo(zone)), locale=language)} ({zone})"


def _short_zone(zone: str, at: datetime) -> str:
    """In ten letters at most: an SMS in Hindi has seventy."""
    return "IST" if zone in _INDIA else get_timezone_gmt(at.astimezone(ZoneInfo(zone)), locale="en")


@cache
def _letters() -> Environment:
    return Environment(
        loader=PackageLoader("server.notifications", "letters"),
        autoescape=False,  # noqa: S701 - these are plain-text letters; the HTML part is escaped paragraph by paragraph
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
