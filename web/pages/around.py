"""What stands around: the demo's inbox, what a problem's type means, the check of a prescription's code."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Annotated

from pydantic import StringConstraints

from server.core.cipher import Cipher
from server.core.errors import NotFound, Problem
from server.core.models import Ask, Model, Nothing
from server.core.privacy import Level
from server.core.routes import Document, Reply, Route, get, page, public
from server.core.settings import Environment, Settings
from server.core.tx import Run, Tx
from server.notifications import Content, inbox
from server.prescriptions import VerifyPrescription, verify_prescription
from web.views import AttachmentItem, InboxMessage, InboxView, ProblemDocView, VerifyPrescriptionView

Text = Annotated[str, StringConstraints(max_length=200), Level.SENSITIVE]


class ShowInbox(Ask):
    """Which message is open, and what is looked for."""

    id: Text = ""
    q: Text = ""


class ShowAttachment(Ask):
    """A file of a message."""

    id: Text
    number: int


class ShowProblem(Ask):
    """A problem's code."""

    code: Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,60}$"), Level.PUBLIC]


class ShowVerify(Ask):
    """The code of a paper."""

    code: Text = ""


class InboxJson(Model):
    """One message, as tools read it."""

    channel: str
    to: str
    subject: str
    text: str
    html: str
    headers: dict[str, str]
    attachments: list[dict[str, str]]


async def inbox_json(tx: Tx, ask: Nothing, *, cipher: Cipher) -> Document:
    """The mail and SMS that went out, newest first: `[{channel, to, subject, text, html, headers, attachments}]`."""
    messages = [
        InboxJson(
            channel=opened.channel,
            **opened.content.model_dump(exclude={"attachments"}),
            attachments=[item.model_dump() for item in opened.content.attachments],
        ).model_dump_json()
        for opened in await inbox(tx, ask, cipher=cipher)
    ]
    return Document(content=f"[{','.join(messages)}]".encode(), media_type="application/json")


async def show_inbox(tx: Tx, ask: ShowInbox, *, cipher: Cipher) -> InboxView:
    """The same as a page."""
    needle = ask.q.casefold()
    messages: list[InboxMessage] = []
    for opened in await inbox(tx, Nothing(), cipher=cipher):
        content = opened.content
        if needle and needle not in f"{content.to} {content.subject} {content.text}".casefold():
            continue
        messages.append(
            InboxMessage(
                id=str(opened.id),
                channel=opened.channel,
                to=content.to,
                subject=content.subject,
                text=content.text,
                sent_at=_sent_at(content, tx.now),
                attachments=[
                    AttachmentItem(
                        filename=file.filename,
                        size_bytes=len(base64.b64decode(file.content_base64)),
                        url=f"/dev/inbox/{opened.id}/{number}",
                    )
                    for number, file in enumerate(content.attachments)
                ],
            )
        )
    return InboxView(messages=messages, chosen=ask.id or None, q=ask.q)


async def show_attachment(tx: Tx, ask: ShowAttachment, *, cipher: Cipher) -> Document:
    """A file of a message."""
    for opened in await inbox(tx, Nothing(), cipher=cipher):
        if str(opened.id) == ask.id and 0 <= ask.number < len(opened.content.attachments):
            file = opened.content.attachments[ask.number]
            return Document(
                content=base64.b64decode(file.content_base64),
                media_type=file.content_type.partition(";")[0],
                filename=file.filename,
            )
    raise NotFound


async def show_problem(tx: Tx, ask: ShowProblem) -> ProblemDocView:
    """What the type of a problem means."""
    del tx
    for kind in _problems(Problem):
        if kind.code == ask.code:
            text = " ".join((kind.__doc__ or kind.title).split())
            return ProblemDocView(code=kind.code, status=kind.status, title=kind.title, text=text)
    raise NotFound


async def show_verify(run: Run, ask: ShowVerify, *, cipher: Cipher) -> VerifyPrescriptionView:
    """Whether a paper's code is genuine. Nothing of the patient is shown."""
    if not ask.code.strip():
        return VerifyPrescriptionView()
    try:
        found = await run.read(partial(verify_prescription, cipher=cipher), VerifyPrescription(code=ask.code.strip()))
    except (Problem, ValueError):
        return VerifyPrescriptionView(code=ask.code, verdict="unknown")
    return VerifyPrescriptionView(
        code=ask.code,
        verdict="genuine",
        doctor_name=found.doctor_name,
        registration_number=found.registration_number,
        issued_on=found.issued_at.astimezone(UTC).date(),
    )


def _sent_at(content: Content, now: datetime) -> datetime:
    date = content.headers.get("Date")
    return parsedate_to_datetime(date) if date else now


def _problems(kind: type[Problem]) -> list[type[Problem]]:
    return [kind, *(inner for below in kind.__subclasses__() for inner in _problems(below))]


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """Public pages; the inbox only where there is no real mail."""
    lines = [
        get("/problems/{code}", show_problem, access=public, reply=page("problem.html")),
        get(
            "/prescriptions/verify",
            partial(show_verify, cipher=cipher),
            access=public,
            reply=page("verify_prescription.html"),
        ),
        # Where the square on the paper points.
        get(
            "/prescriptions/verify/{code}",
            partial(show_verify, cipher=cipher),
            access=public,
            reply=page("verify_prescription.html"),
        ),
    ]
    if settings.environment is not Environment.PRODUCTION:
        lines += [
            get(
                "/dev/inbox.json",
                partial(inbox_json, cipher=cipher),
                access=public,
                reply=Reply("download", media_type="application/json"),
            ),
            get("/dev/inbox", partial(show_inbox, cipher=cipher), access=public, reply=page("inbox.html")),
            get(
                "/dev/inbox/{id}/{number}",
                partial(show_attachment, cipher=cipher),
                access=public,
                reply=Reply("download"),
            ),
        ]
    return lines
