"""Mail over SMTP: the letter as it goes over the wire, and what a mail server's refusal means."""

from __future__ import annotations

import re
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import aiosmtplib

from server.core.settings import Settings
from server.notifications.models import Content, Message, Outcome, State
from server.notifications.providers import SECONDS, TryAgain

# RFC 3463: x.1 is about the address, x.2 about the mailbox; x.7 is policy, which says nothing about either.
ENHANCED = re.compile(r"^5\.(\d{1,3})\.(\d{1,3})\b")
MAILBOX_FULL = ("2", "2")
NOBODY_THERE = frozenset({550, 551, 553})


class SmtpMail:
    """Hands letters to the mail server of the settings."""

    def __init__(self, settings: Settings) -> None:
        assert settings.smtp_url is not None
        self._url = urlsplit(settings.smtp_url.get_secret_value())
        self._sender = settings.mail_from

    async def send(self, message: Message) -> Outcome:
        """Send a letter with the message's id as Message-ID, so that a second copy is known as one. Raises TryAgain."""
        url = self._url
        try:
            await aiosmtplib.send(
                as_email(message.content, self._sender, f"<{message.id}@amrutam>"),
                hostname=url.hostname,
                port=url.port,
                username=unquote(url.username) if url.username else None,
                password=unquote(url.password) if url.password else None,
                use_tls=url.scheme == "smtps",
                timeout=SECONDS,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _refused(error.recipients[0].code, error.recipients[0].message)
        except aiosmtplib.SMTPDataError as error:
            if error.code < 500:
                raise TryAgain(f"The mail server did not take it: {error.code}.") from error
            return Outcome(state=State.FAILED, error=f"smtp-{error.code}")
        except (aiosmtplib.SMTPException, OSError) as error:
            raise TryAgain(f"The mail server did not take it: {type(error).__name__}.") from error
        return Outcome(state=State.SENT)


def _refused(code: int, said: str) -> Outcome:
    """A refusal of the recipient: for good because nobody is there, for good for another reason, or for now."""
    if code < 500:
        raise TryAgain(f"The mail server did not take it: {code}.")
    found = ENHANCED.match(said)
    about = (found[1], found[2]) if found is not None else None
    nobody = code in NOBODY_THERE if about is None else about[0] in ("1", "2") and about != MAILBOX_FULL
    return Outcome(state=State.BOUNCED if nobody else State.FAILED, error=f"smtp-{code}")


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
