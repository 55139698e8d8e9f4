"""Instants as people read them: in a language and a time zone, by Babel's rules, with Western digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Generic, Protocol, TypeVar
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, get_timezone_gmt, get_timezone_name
from babel.numbers import format_currency, format_decimal, get_currency_precision

# British order and 24 hours, as India reads them; the pages' languages keep Western digits.
LOCALES = {"en": Locale("en", "IN"), "hi": Locale("hi", "IN")}
NOON, EVENING = 12, 17
_INDIA = frozenset({"Asia/Kolkata", "Asia/Calcutta"})
_INDIAN_TIME = {"en": "Indian time (IST)", "hi": "भारतीय समय (IST)"}


class HasStart(Protocol):
    """Anything that begins at an instant."""

    @property
    def start_time(self) -> datetime: ...


S = TypeVar("S", bound=HasStart)


@dataclass(frozen=True)
class PartOfDay(Generic[S]):
    """What begins in the morning, afternoon or evening of a day; `name` is that English word."""

    name: str
    items: Sequence[S]


@dataclass(frozen=True)
class Day(Generic[S]):
    """What begins on one local day, in its parts."""

    date: date
    parts: Sequence[PartOfDay[S]]

    @property
    def items(self) -> list[S]:
        """Everything of the day, soonest first."""
        return [item for part in self.parts for item in part.items]


def local(at: datetime, zone: str) -> datetime:
    """The instant by the wall clock of a zone."""
    return at.astimezone(ZoneInfo(zone))


def clock(at: datetime, zone: str) -> str:
    """Hours and minutes, 24 hours: `11:00`."""
    return local(at, zone).strftime("%H:%M")


def day(at: datetime | date, zone: str, language: str, now: datetime) -> str:
    """Weekday, day and month; the year only where it is not the running one."""
    on = local(at, zone).date() if isinstance(at, datetime) else at
    pattern = "EEEE d MMMM" if on.year == local(now, zone).year else "EEEE d MMMM y"
    return format_date(on, pattern, locale=LOCALES[language])


def short_day(at: datetime | date, zone: str, language: str) -> tuple[str, str]:
    """Weekday and date, both short: `Wed`, `25 Nov`."""
    on = local(at, zone).date() if isinstance(at, datetime) else at
    locale = LOCALES[language]
    return format_date(on, "EEE", locale=locale), format_date(on, "d MMM", locale=locale)


def full_date(at: datetime | date, zone: str, language: str) -> str:
    """Day, month and year: `24 November 2026`."""
    on = local(at, zone).date() if isinstance(at, datetime) else at
    return format_date(on, "d MMMM y", locale=LOCALES[language])


def days_from_today(at: datetime | date, zone: str, now: datetime) -> int:
    """How many local days ahead: 0 is today, 1 tomorrow."""
    on = local(at, zone).date() if isinstance(at, datetime) else at
    return (on - local(now, zone).date()).days


def minutes_until(at: datetime, now: datetime) -> int:
    """Whole minutes from now, never negative: what is left of a minute counts as one."""
    return max(0, -((now - at) // timedelta(minutes=1)))


def zone_name(zone: str, language: str, at: datetime) -> str:
    """What people call the zone, at that instant: `Indian time (IST)`, `British Summer Time`."""
    if zone in _INDIA:  # Babel has no name for India's zone, only its distance
        return _INDIAN_TIME[language]
    return get_timezone_name(at.astimezone(ZoneInfo(zone)), width="long", locale=LOCALES[language])


def zone_short(zone: str, language: str, at: datetime) -> str:
    """The zone in one word where it has one, else its distance from UTC: `IST`, `GMT-05:00`."""
    if zone in _INDIA:
        return "IST"
    return get_timezone_gmt(at.astimezone(ZoneInfo(zone)), locale=LOCALES[language])


def by_day(items: Iterable[S], zone: str) -> list[Day[S]]:
    """Sort what begins into the local days and their parts; the zone decides which day it is."""
    days: dict[date, dict[str, list[S]]] = {}
    for item in sorted(items, key=lambda one: one.start_time.astimezone(UTC)):
        begins = local(item.start_time, zone)
        part = "morning" if begins.hour < NOON else "afternoon" if begins.hour < EVENING else "evening"
        days.setdefault(begins.date(), {}).setdefault(part, []).append(item)
    return [Day(on, [PartOfDay(name, list(found)) for name, found in parts.items()]) for on, parts in days.items()]


def money(amount_minor: int, currency: str, language: str) -> str:
    """An amount in minor units with its sign; no empty decimals: `₹499`, `₹249.50`."""
    places = get_currency_precision(currency)
    amount, rest = divmod(amount_minor, 10**places)
    if rest == 0:
        return format_currency(amount, currency, "¤#,##,##0", locale=LOCALES[language], currency_digits=False)
    return format_currency(Decimal(amount_minor).scaleb(-places), currency, locale=LOCALES[language])


def number(value: int, language: str) -> str:
    """A count, grouped as India groups it."""
    return format_decimal(value, locale=LOCALES[language])


def language_name(code: str, language: str) -> str:
    """A language's name in the page's language; what no list knows is shown as it is."""
    try:
        return Locale.parse(code).get_display_name(language) or code
    except (UnknownLocaleError, ValueError):
        return code
