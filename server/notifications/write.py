"""Writing letters: in the reader's language and zone, one message a cause, sealed until it leaves."""

from __future__ import annotations

import html
from datetime import datetime
from email.utils import format_datetime as rfc2822
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo

from babel.dates import format_datetime, get_timezone_name
from babel.numbers import format_currency
from jinja2 import Environment, PackageLoader, StrictUndefined

from server.accounts import Person, Reminders, person
from server.core.cipher import Cipher, Place
from server.core.errors import NotFound
from server.core.ids import ConsultationId, new_id
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import queries
from server.notifications.calendar_file import attached, calendar_file
from server.notifications.events import NotificationQueued
from server.notifications.models import Channel, Content, Letter, Meeting

_INDIA = frozenset({"Asia/Kolkata", "Asia/Calcutta"})
_INDIAN_TIME = {"en": "Indian time (IST)", "hi": "भारतीय समय (IST)"}


async def write_letter(tx: Tx, letter: Letter, *, cipher: Cipher, settings: Settings) -> bool:
    """Write a mail, and its SMS where the letter has one, to be sent; False when this cause has its letter already.

    A reminder comes by the ways its reader wants; everything else is always told.
    """
    reader = await person(tx, letter.user_id, cipher)
    ways = reader.reminders if letter.kind == "reminder" else Reminders()
    meeting = await meeting_of(tx, letter.consultation_id) if letter.consultation_id else None
    text = _render(letter, reader, meeting, settings)
    subject, _, body = text.partition("\n\n")
    attachments = ()
    if meeting is not None and letter.calendar != "none":
        file = _calendar(meeting, letter.calendar, reader, settings, tx.now)
        attachments = (attached(file, letter.calendar),)
    mail = Content(
        to=reader.email,
        subject=subject.removeprefix("Subject: ").strip(),
        text=body.strip() + "\n",
        html=_html(body, reader.language),
        headers={
            "Content-Language": reader.language,
            "Auto-Submitted": "auto-generated",
            "Date": rfc2822(tx.now),
        },
        attachments=attachments,
    )
    written = ways.mail and await _queue(tx, letter, "mail", mail, cipher)
    if letter.sms and ways.sms and reader.phone:
        first = body.strip().split("\n\n")[1 if "\n\n" in body.strip() else 0]
        short = Content(to=reader.phone, text=f"Amrutam: {first}")
        written = await _queue(tx, letter, "sms", short, cipher) or written
    return written


async def meeting_of(tx: Tx, consultation_id: ConsultationId) -> Meeting:
    """The facts that letters name. Raises NotFound."""
    row = await queries.meeting(tx, consultation_id)
    if row is None:
        raise NotFound
    return Meeting.model_validate(dict(row))


async def calendar_of(tx: Tx, consultation_id: ConsultationId, *, cipher: Cipher, settings: Settings) -> bytes:
    """The invitation file as the patient's mail carries it. Raises NotFound."""
    meeting = await meeting_of(tx, consultation_id)
    reader = await person(tx, meeting.patient_user_id, cipher)
    return _calendar(meeting, "cancel" if meeting.ended_as else "request", reader, settings, tx.now)


def _calendar(
    meeting: Meeting, method: Literal["request", "cancel"], reader: Person, settings: Settings, now: datetime
) -> bytes:
    return calendar_file(
        meeting,
        method=method,
        organizer=settings.mail_from,
        attendee=reader.email,
        language=reader.language,
        now=now,
    )


async def _queue(tx: Tx, letter: Letter, channel: Channel, content: Content, cipher: Cipher) -> bool:
    id_ = new_id(tx.now)
    sealed = await cipher.seal(tx, letter.user_id, Place("notifications", "content", id_), content.model_dump_json())
    if not await queries.queue(tx, id_, letter.user_id, channel, f"{letter.cause}:{channel}", sealed):
        return False
    tx.emit(NotificationQueued(notification_id=id_))
    return True


def _render(letter: Letter, reader: Person, meeting: Meeting | None, settings: Settings) -> str:
    zone = ZoneInfo(reader.time_zone)
    language = reader.language

    def when(at: datetime) -> str:
        moment = format_datetime(at, "EEEE, d MMMM y, HH:mm", tzinfo=zone, locale=language)
        return f"{moment}, {_zone_name(reader.time_zone, language, at)}"

    def clock(at: datetime) -> str:
        return format_datetime(at, "HH:mm", tzinfo=zone, locale=language)

    def money(amount_minor: int, currency: str) -> str:
        return format_currency(amount_minor / 100, currency, locale=f"{language}_IN")

    template = _letters().get_template(f"{language}/{letter.kind}.txt")
    return template.render(
        name=reader.name,
        meeting=meeting,
        link=letter.link or (meeting.link if meeting else settings.public_url),
        phone=settings.clinic_phone,
        home=settings.public_url,
        when=when,
        clock=clock,
        money=money,
    )


def _zone_name(zone: str, language: str, at: datetime) -> str:
    """As the pages say it; a zone of elsewhere with its id too, since few know such names."""
    if zone in _INDIA:
        return _INDIAN_TIME[language]
    return f"{get_timezone_name(at.astimezone(ZoneInfo(zone)), locale=language)} ({zone})"


@cache
def _letters() -> Environment:
    return Environment(
        loader=PackageLoader("server.notifications", "letters"),
        autoescape=False,  # noqa: S701 - these are plain-text letters; the HTML part is escaped paragraph by paragraph
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _html(body: str, language: str) -> str:
    """The same letter for mail programs that show HTML: paragraphs, and addresses as links."""
    parts: list[str] = []
    for paragraph in body.strip().split("\n\n"):
        if paragraph.startswith(("http://", "https://")):
            address = html.escape(paragraph.strip())
            parts.append(f'<p><a href="{address}">{address}</a></p>')
        else:
            parts.append("<p>" + html.escape(paragraph).replace("\n", "<br>") + "</p>")
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head>'
        f"<body>{''.join(parts)}</body></html>"
    )
