"""Writing letters: by the ways that the reader wants, one message a cause and a way, sealed until it leaves."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import format_datetime as rfc2822
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

from server.accounts import AccountWays, Person, Ways, person
from server.core.cipher import Cipher, Erased, Place
from server.core.errors import NotFound
from server.core.ids import ConsultationId, new_id
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import queries
from server.notifications.calendar_file import attached, calendar_file
from server.notifications.devices import device_ids
from server.notifications.events import NotificationQueued
from server.notifications.models import Content, Letter, Meeting, Topic
from server.notifications.render import Rendered, as_html, render

# What a letter is about decides which of its reader's wishes count. What is not named here is about a booking.
TOPICS: Mapping[str, Topic] = {
    "reminder": "reminders",
    "verify_email": "account",
    "address_known": "account",
    "invitation": "account",
    "reset_password": "account",
    "password_changed": "account",
    "second_factor_changed": "account",
}
# Whoever asks for these looks into the mailbox now: they go to an address that did not take mail before, too.
ASKED_FOR = frozenset({"verify_email", "reset_password", "invitation"})
TOOK_NOT_PLACE = frozenset({"cancelled_by_patient", "cancelled_by_doctor", "cancelled_by_admin", "unpaid"})


async def write_letter(tx: Tx, letter: Letter, *, cipher: Cipher, settings: Settings) -> bool:
    """Write a letter by every way that its reader wants for its topic; False when it was written before.

    Mail carries what no chosen way can, except a reminder, which nobody has to have. Nothing is written to somebody
    whose data was erased, and no invitation to what has ended while this step waited.
    """
    try:
        reader = await person(tx, letter.user_id, cipher)
    except Erased:
        return False
    meeting = await meeting_of(tx, letter.consultation_id) if letter.consultation_id else None
    if letter.calendar == "request" and meeting is not None and meeting.ended_as is not None:
        return False
    words = render(letter, reader, meeting, settings)
    topic = TOPICS.get(letter.kind, "booking")
    ways = _ways(reader, topic)
    written = False
    devices = await device_ids(tx, letter.user_id) if ways.push and words.short is not None else ()
    phone = reader.phone if letter.sms and ways.sms else None
    if _by_mail(letter, reader, wanted=ways.mail or (topic != "reminders" and not devices and phone is None)):
        mail = await _mail(tx, letter, reader, meeting, words, settings)
        written = await _queue(tx, letter, "mail", mail, cipher)
    if phone is not None:
        written = await _queue(tx, letter, "sms", Content(to=phone, text=words.sms(reader.language)), cipher) or written
    for device in devices:
        pushed = _push(letter, reader, words, meeting, device)
        written = await _queue(tx, letter, "push", pushed, cipher, f":{device}") or written
    return written


async def meeting_of(tx: Tx, consultation_id: ConsultationId) -> Meeting:
    """The facts that letters name. Raises NotFound."""
    row = await queries.meeting(tx, consultation_id)
    if row is None:
        raise NotFound
    return Meeting.model_validate(dict(row))


async def calendar_of(tx: Tx, consultation_id: ConsultationId, *, cipher: Cipher, settings: Settings) -> bytes:
    """The invitation file as the patient's mail carries it, to the byte once that is written. Raises NotFound."""
    meeting = await meeting_of(tx, consultation_id)
    method = "cancel" if meeting.ended_as in TOOK_NOT_PLACE else "request"
    row = await queries.newest_of(tx, _file_causes(meeting, method))
    if row is not None:
        text = await cipher.open(tx, row["user_id"], Place("notifications", "content", row["id"]), row["content"])
        for attachment in Content.model_validate_json(text).attachments:
            return attachment.content
    reader = await person(tx, meeting.patient_user_id, cipher)
    return await _calendar(tx, meeting, method, reader, settings)


def _ways(reader: Person, topic: Topic) -> Ways | AccountWays:
    channels = reader.channels
    return {"reminders": channels.reminders, "booking": channels.booking, "account": channels.account}[topic]


def _by_mail(letter: Letter, reader: Person, *, wanted: bool) -> bool:
    return wanted and (not reader.undeliverable or letter.kind in ASKED_FOR)


async def _mail(
    tx: Tx, letter: Letter, reader: Person, meeting: Meeting | None, words: Rendered, settings: Settings
) -> Content:
    attachments = ()
    if meeting is not None and letter.calendar != "none":
        file = await _calendar(tx, meeting, letter.calendar, reader, settings)
        attachments = (attached(file, letter.calendar),)
    return Content(
        to=reader.email,
        subject=words.subject,
        text=words.body + "\n",
        html=as_html(words.body, reader.language),
        headers={
            "Content-Language": reader.language,
            "Auto-Submitted": "auto-generated",
            "Date": rfc2822(tx.now),
        },
        attachments=attachments,
    )


def _push(letter: Letter, reader: Person, words: Rendered, meeting: Meeting | None, device: UUID) -> Content:
    """What is new of a consultation takes the place of what a device was told of it before."""
    about = str(letter.consultation_id or letter.kind)
    link = urlsplit(letter.link or (meeting.link if meeting else ""))
    assert words.short is not None
    return Content(
        to=str(device),
        text=words.short,
        headers={
            "Content-Language": reader.language,
            "Path": (link.path or "/") + (f"?{link.query}" if link.query else ""),
            "Topic": base64.urlsafe_b64encode(hashlib.sha256(about.encode()).digest()[:24]).decode(),
            "Urgency": "high" if letter.kind == "reminder" else "normal",
        },
    )


async def _calendar(
    tx: Tx, meeting: Meeting, method: Literal["request", "cancel"], reader: Person, settings: Settings
) -> bytes:
    return calendar_file(
        meeting,
        method=method,
        organizer=settings.mail_from,
        attendee=reader.email,
        language=reader.language,
        now=await _stamp(tx, meeting),
    )


async def _stamp(tx: Tx, meeting: Meeting) -> datetime:
    """Now, or a second after the latest file before this one: calendars ignore a file whose stamp goes back, and
    clocks of several machines do."""
    causes = [*_causes_up_to(meeting, meeting.sequence), *_file_causes(meeting, "cancel")]
    before = await queries.newest_of(tx, causes)
    return tx.now if before is None else max(tx.now, before["created_at"] + timedelta(seconds=1))


def _file_causes(meeting: Meeting, method: Literal["request", "cancel"]) -> list[str]:
    """The mail that carries the file of what is true now, by its cause."""
    if method == "cancel":
        return [f"cancelled:{meeting.consultation_id}:mail"]
    return _causes_up_to(meeting, meeting.sequence)[-1:]


def _causes_up_to(meeting: Meeting, sequence: int) -> list[str]:
    about = meeting.consultation_id
    return [f"confirmed:{about}:mail", *(f"moved:{about}:{number}:mail" for number in range(1, sequence + 1))]


async def _queue(
    tx: Tx, letter: Letter, channel: Literal["mail", "sms", "push"], content: Content, cipher: Cipher, of: str = ""
) -> bool:
    id_ = new_id(tx.now)
    sealed = await cipher.seal(tx, letter.user_id, Place("notifications", "content", id_), content.model_dump_json())
    if not await queries.queue(tx, id_, letter, channel, f"{letter.cause}:{channel}{of}", sealed):
        return False
    tx.emit(NotificationQueued(notification_id=id_))
    return True
