"""The .ics of a consultation: one UID for ever, a rising SEQUENCE, times in UTC (RFC 5545, RFC 5546)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Any, Literal, cast

from icalendar import Calendar, Event, vCalAddress, vText

from server.notifications.models import Attachment, Meeting

SUMMARY = {"en": "Video consultation", "hi": "वीडियो परामर्श"}


def calendar_file(
    meeting: Meeting,
    *,
    method: Literal["request", "cancel"],
    organizer: str,
    attendee: str,
    language: str,
    now: datetime,
) -> bytes:
    """An invitation, its update, or its cancellation.

    Nothing in it tells the specialty, the reason or the doctor, who may be known for one: calendars are shared.
    """
    event = cast("Any", Event())  # its `add` takes whatever a property may hold
    event.add("uid", f"{meeting.consultation_id}@amrutam")
    event.add("dtstamp", now)
    event.add("sequence", meeting.sequence + (1 if method == "cancel" else 0))
    # In UTC, whatever zone the moments came in: no VTIMEZONE that a calendar could misread in summer.
    event.add("dtstart", meeting.start_time.astimezone(UTC))
    event.add("dtend", meeting.end_time.astimezone(UTC))
    event.add("summary", SUMMARY[language])
    event.add("url", meeting.link)
    event.add("location", meeting.link)
    event.add("status", "CANCELLED" if method == "cancel" else "CONFIRMED")
    event.add("class", "PRIVATE")
    event.add("organizer", _address(organizer, "Amrutam"))
    event.add("attendee", _address(attendee, ""), encode=0)
    calendar = cast("Any", Calendar())
    calendar.add("prodid", "-//Amrutam//Consultations//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method.upper())
    calendar.add_component(event)
    return bytes(calendar.to_ical())


def attached(content: bytes, method: str) -> Attachment:
    """The file beside a mail."""
    return Attachment(
        filename="consultation.ics",
        content_type=f"text/calendar; charset=utf-8; method={method.upper()}",
        content_base64=base64.b64encode(content).decode(),
    )


def _address(address: str, name: str) -> vCalAddress:
    found = vCalAddress(f"mailto:{parseaddr(address)[1]}")
    if name:
        found.params["CN"] = vText(name)
    return found
