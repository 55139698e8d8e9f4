"""Sending: over SMTP where one is set, else into the inbox page. At least once, with the cause as Message-ID."""

from __future__ import annotations

from email.message import EmailMessage
from urllib.parse import unquote, urlsplit
from uuid import UUID

import aiosmtplib

from server.core.cipher import Cipher, Place
from server.core.errors import Unavailable
from server.core.models import Ask, Model
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.notifications import queries
from server.notifications.models import Channel, Content

SMTP_SECONDS = 20


class Notification(Ask):
    """One stored message."""

    id: UUID


class Opened(Model):
    """A message with its content."""

    id: UUID

    channel: Channel
    content: Content


async def deliver(run: Run, ask: Notification, *, cipher: Cipher, settings: Settings) -> None:
    """Send a queued message; one that was sent before is left alone. Raises Unavailable when the server refuses."""

    async def take(tx: Tx, ask: Notification) -> Opened | None:
        row = await queries.take(tx, ask.id)
        if row is None or row["state"] == "sent":
            return None
        text = await cipher.open(tx, row["user_id"], Place("notifications", "content", ask.id), row["content"])
        return Opened(id=ask.id, channel=row["channel"], content=Content.model_validate_json(text))

    async def note_sent(tx: Tx, ask: Notification) -> None:
        await queries.sent(tx, ask.id)

    opened = await run.read(take, ask)
    if opened is None:
        return
    if opened.channel == "mail" and settings.smtp_url is not None:
        await _send_mail(opened.content, settings, message_id=f"<{ask.id}@amrutam>")
    await run(note_sent, ask)


async def _send_mail(content: Content, settings: Settings, *, message_id: str) -> None:
    assert settings.smtp_url is not None
    url = urlsplit(settings.smtp_url.get_secret_value())
    try:
        await aiosmtplib.send(
            as_email(content, settings.mail_from, message_id),
            hostname=url.hostname,
            port=url.port,
            username=unquote(url.username) if url.username else None,
            password=unquote(url.password) if url.password else None,
            use_tls=url.scheme == "smtps",
            timeout=SMTP_SECONDS,
        )
    except (aiosmtplib.SMTPException, OSError) as error:
        raise Unavailable(f"The mail server did not take it: {type(error).__name__}.") from error


def as_email(content: Content, sender: str, message_id: str) -> EmailMessage:
    """The mail as it goes over the wire: text, HTML, and the calendar part that programs act on."""
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = content.to
    mail["Subject"] = content.subject
    mail["Message-ID"] = message_id
    for name, value in content.headers.items():
        mail[name] = value
    mail.set_content(content.text)
    if content.html:
        mail.add_alternative(content.html, subtype="html")
    for attachment in content.attachments:
        kind, _, parameters = attachment.content_type.partition(";")
        main, _, sub = kind.partition("/")
        mail.add_attachment(attachment.content, maintype=main, subtype=sub, filename=attachment.filename)
        part = next(reversed(list(mail.iter_attachments())))
        for parameter in filter(None, (text.strip() for text in parameters.split(";"))):
            name, _, value = parameter.partition("=")
            part.set_param(name, value)
    return mail
