"""What templates may call: filters and globals that take language, zone and the present moment from the frame."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qsl, urlencode, urlsplit

import segno
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from web import dates, problems, words
from web.frame import Frame, Notice

if TYPE_CHECKING:
    from web.staff_views import ReadinessItem
    from web.views import NoticeItem

_ADDRESS = re.compile(r"(https?://[^\s<>\"]+)")
TINTS = ("", "two", "three", "four", "five")


def _frame(context: Context) -> Frame:
    return cast("Frame", context["frame"])


def _translate(context: Context, message: str, place: str = "") -> str:
    if place:
        return str(context.call(context["pgettext"], place, message))
    return str(context.call(context["gettext"], message))


@pass_context
def _clock(context: Context, at: datetime, zone: str | None = None) -> str:
    return dates.clock(at, zone or _frame(context).time_zone)


@pass_context
def _day(context: Context, at: datetime | date, zone: str | None = None) -> str:
    """Today, tomorrow, or the day itself."""
    frame = _frame(context)
    zone = zone or frame.time_zone
    ahead = dates.days_from_today(at, zone, frame.now)
    if ahead in words.NEAR_DAYS:
        return _translate(context, words.NEAR_DAYS[ahead])
    return dates.day(at, zone, frame.language, frame.now)


@pass_context
def _day_and_clock(context: Context, at: datetime, zone: str | None = None) -> str:
    return f"{_day(context, at, zone)}, {_clock(context, at, zone)}"


@pass_context
def _short_day(context: Context, at: datetime | date, zone: str | None = None) -> tuple[str, str]:
    frame = _frame(context)
    zone = zone or frame.time_zone
    weekday, on = dates.short_day(at, zone, frame.language)
    ahead = dates.days_from_today(at, zone, frame.now)
    return (_translate(context, words.NEAR_DAYS[ahead]) if ahead in words.NEAR_DAYS else weekday), on


@pass_context
def _full_date(context: Context, at: datetime | date, zone: str | None = None) -> str:
    frame = _frame(context)
    return dates.full_date(at, zone or frame.time_zone, frame.language)


@pass_context
def _from_now(context: Context, at: datetime) -> str:
    """`in 12 minutes`, `in 3 hours`; empty when it has begun or is a day away."""
    minutes = dates.minutes_until(at, _frame(context).now)
    if not 0 < minutes < 24 * 60:
        return ""
    if minutes < 90:
        return str(context.call(context["ngettext"], *words.IN_MINUTES, minutes))
    return str(context.call(context["ngettext"], *words.IN_HOURS, round(minutes / 60)))


@pass_context
def _by_day(context: Context, items: Sequence[dates.S], zone: str | None = None) -> list[dates.Day[dates.S]]:
    return dates.by_day(items, zone or _frame(context).time_zone)


@pass_context
def _zone_name(context: Context, zone: str) -> str:
    frame = _frame(context)
    return dates.zone_name(zone, frame.language, frame.now)


@pass_context
def _zone_short(context: Context, zone: str) -> str:
    frame = _frame(context)
    return dates.zone_short(zone, frame.language, frame.now)


@pass_context
def _money(context: Context, amount_minor: int, currency: str) -> str:
    return dates.money(amount_minor, currency, _frame(context).language)


@pass_context
def _fee(context: Context, amount_minor: int, currency: str) -> str:
    """An amount as a fee: nothing is said in words."""
    return _money(context, amount_minor, currency) if amount_minor else _translate(context, words.FREE)


@pass_context
def _minutes_left(context: Context, at: datetime) -> int:
    return dates.minutes_until(at, _frame(context).now)


@pass_context
def _turn_span(
    context: Context, earliest: datetime | None, latest: datetime | None
) -> tuple[datetime, datetime] | None:
    """From when to when a turn is likely; None where that says nothing."""
    if earliest is None or latest is None or latest - earliest > words.WIDEST_SPAN:
        return None
    return max(_frame(context).now, earliest), latest


@pass_context
def _delay_words(context: Context, notice: NoticeItem, doctor_name: str) -> str:
    """What a doctor tells all who wait."""
    at = dates.clock(notice.back_at, _frame(context).time_zone)
    sentence = words.DELAY_NOTICES[notice.reason]
    return str(context.call(context["gettext"], sentence, doctor=doctor_name, minutes=notice.minutes, time=at))


@pass_context
def _readiness_words(context: Context, found: ReadinessItem | None) -> list[str]:
    """What a doctor should know of a patient's devices before the call."""
    if found is None:
        return []
    pairs = [(part, str(getattr(found, part))) for part in ("camera", "microphone", "speaker", "network")]
    return [_translate(context, words.READINESS[pair]) for pair in pairs if pair in words.READINESS]


@pass_context
def _readiness_word(context: Context, part: str, how: str) -> str:
    """One of these sentences, for a script that shows them."""
    return _translate(context, words.READINESS[part, how])


@pass_context
def _delay_reasons(context: Context) -> dict[str, str]:
    """Why a doctor may be late, in preset words."""
    return {reason: _translate(context, said) for reason, said in words.DELAY_REASONS.items()}


@pass_context
def _place_words(context: Context, position: int | None) -> str:
    """Where one stands in the line, from 1; `You are checked in.` while it is not known."""
    if position is None:
        return _translate(context, words.CHECKED_IN)
    if position <= len(words.PLACES):
        return _translate(context, words.PLACES[position - 1])
    return str(context.call(context["gettext"], words.LATER_PLACE, number=position))


@pass_context
def _before_words(context: Context, position: int | None, doctor_name: str) -> str:
    """How many are before one, and that the doctor knows."""
    knows = str(context.call(context["gettext"], words.DOCTOR_KNOWS, doctor=doctor_name))
    if position is None:
        return knows
    if position == 1:
        return f"{_translate(context, words.STAY_NEAR)} {knows}"
    return f"{context.call(context['ngettext'], *words.BEFORE_YOU, position - 1)} {knows}"


@pass_context
def _number(context: Context, value: int) -> str:
    return dates.number(value, _frame(context).language)


@pass_context
def _language_name(context: Context, code: str) -> str:
    return dates.language_name(code, _frame(context).language)


@pass_context
def _languages_list(context: Context, codes: Sequence[str]) -> str:
    language = _frame(context).language
    return ", ".join(dates.language_name(code, language) for code in codes)


@pass_context
def _specialty(context: Context, name: str) -> str:
    """A specialty in the page's language, where words.py knows it."""
    return _translate(context, name, "specialty") if name in words.SPECIALTIES else name


@pass_context
def _slot_label(context: Context, start_time: datetime, doctor_name: str, state: str) -> str:
    """A slot's accessible name: time, state (free, taken, past, chosen), weekday, date, zone and doctor."""
    frame = _frame(context)
    return str(
        context.call(
            context["gettext"],
            words.SLOT_LABEL,
            day=dates.day(start_time, frame.time_zone, frame.language, frame.now),
            time=dates.clock(start_time, frame.time_zone),
            zone=dates.zone_short(frame.time_zone, frame.language, start_time),
            doctor=doctor_name,
            state=_translate(context, words.SLOT_STATES[state], "slot"),
        )
    )


@pass_context
def _problem_words(context: Context, code: str, title: str, detail: str) -> tuple[str, str, bool]:
    """Title and sentence of a problem in the page's language, and whether they are (else English)."""
    known = problems.PROBLEMS.get(code)
    if known is None:
        return title, detail, _frame(context).language == "en"
    return _translate(context, known[0]), _translate(context, known[1]), True


@pass_context
def _field_words(context: Context, code: str, message: str) -> str:
    """What is wrong with a field, in the page's language."""
    known = problems.FIELD_ERRORS.get(code)
    return _translate(context, known) if known is not None else message


@pass_context
def _notice_words(context: Context, notice: Notice) -> str:
    sentence = words.NOTICES.get(notice.key, "")
    return str(context.call(context["gettext"], sentence, **notice.values)) if sentence else ""


def switch_language(path: str, language: str) -> str:
    """The same page in another language: its address with `lang` set."""
    parts = urlsplit(path)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "lang"]
    return f"{parts.path or '/'}?{urlencode([*query, ('lang', language)])}"


def specialty_icon(name: str) -> str:
    """The sign of a specialty in the sprite."""
    return words.SPECIALTY_ICONS.get(name, "pulse")


def with_links(text: str) -> Markup:
    """Plain text whose http addresses can be pressed; everything is escaped."""
    parts = _ADDRESS.split(text)
    return Markup("").join(
        Markup('<a href="{0}">{0}</a>').format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def iso(at: datetime) -> str:
    """The instant for machines: a `datetime` attribute, what scripts read."""
    return at.isoformat().replace("+00:00", "Z")


def initials(name: str) -> str:
    """One or two letters for a face without a picture; titles do not count."""
    parts = [part for part in name.replace(".", " ").split() if part.casefold() not in words.TITLES]
    if not parts:
        return "·"
    letters = parts[0][0] + (parts[-1][0] if len(parts) > 1 else "")
    return letters.upper()


def tint(name: str) -> str:
    """One of the five quiet tints, always the same for one name."""
    return TINTS[sum(name.encode()) % len(TINTS)]


def last_digits(phone: str) -> str:
    """The last two digits of a phone number, which say which one without telling it."""
    return "".join(c for c in phone if c.isdigit())[-2:]


@cache
def _qr(text: str) -> tuple[str, int]:
    code = segno.make(text, error="m")
    steps: list[str] = []
    rows = [list(row) for row in code.matrix_iter(border=4)]
    for y, row in enumerate(rows):
        steps.extend(f"M{x} {y}h1v1h-1z" for x, dark in enumerate(row) if dark)
    return "".join(steps), len(rows)


def qr_path(text: str) -> tuple[str, int]:
    """A QR code as the path of an SVG, and its width in modules."""
    return _qr(text)


FILTERS: Mapping[str, object] = {
    "clock": _clock,
    "day": _day,
    "day_and_clock": _day_and_clock,
    "short_day": _short_day,
    "full_date": _full_date,
    "from_now": _from_now,
    "by_day": _by_day,
    "zone_name": _zone_name,
    "zone_short": _zone_short,
    "money": _money,
    "fee": _fee,
    "minutes_left": _minutes_left,
    "number": _number,
    "language_name": _language_name,
    "languages_list": _languages_list,
    "specialty": _specialty,
    "specialty_icon": specialty_icon,
    "with_links": with_links,
    "iso": iso,
    "initials": initials,
    "tint": tint,
    "qr_path": qr_path,
    "last_digits": last_digits,
}
GLOBALS: Mapping[str, object] = {
    "switch_language": switch_language,
    "slot_label": _slot_label,
    "turn_span": _turn_span,
    "delay_words": _delay_words,
    "delay_reasons": _delay_reasons,
    "readiness_words": _readiness_words,
    "readiness_word": _readiness_word,
    "READINESS_PAIRS": tuple(words.READINESS),
    "place_words": _place_words,
    "before_words": _before_words,
    "problem_words": _problem_words,
    "field_words": _field_words,
    "notice_words": _notice_words,
}
