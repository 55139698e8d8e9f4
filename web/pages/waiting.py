"""What a doctor does with the queue beside calling in, and files for the chat: forms that work without script."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal
from uuid import uuid4

from server.booking import Transfer, transfer
from server.consultations import (
    AttachFile,
    Consultation,
    OfConsultation,
    TellDelay,
    WriteMessage,
    as_either,
    attach_file,
    doctor_of_consultation,
    end_delay,
    put_back_patient,
    reader_of_consultation,
    skip_patient,
    tell_delay,
    write_message,
)
from server.core.cipher import Cipher
from server.core.edge.bodies import build
from server.core.ids import ConsultationId, DoctorId
from server.core.models import Ask, Nothing
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_doctor, form, post, redirect, upload
from server.core.settings import Settings
from server.core.tx import Run, Tx
from web.pages.booking import Key


class DelayForm(Ask):
    """The doctor is late."""

    minutes: Annotated[str, Level.INTERNAL]
    reason: Literal["late", "emergency", "technical", "break"] = "late"


class TransferForm(Ask):
    """The doctor hands a patient on."""

    id: ConsultationId
    doctor_id: DoctorId
    idempotency_key: Key


async def skip_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> SeeOther:
    """Let the next one go first."""
    await skip_patient(tx, ask, cipher=cipher)
    return SeeOther(location="/queue")


async def put_back_by_form(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> SeeOther:
    """Take a call or a skip back."""
    await put_back_patient(tx, ask, cipher=cipher)
    return SeeOther(location="/queue")


async def transfer_by_form(run: Run, ask: TransferForm, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Hand a patient on; sent twice, it is once."""
    await run.once(
        partial(transfer, cipher=cipher, settings=settings),
        Transfer(id=ask.id, doctor_id=ask.doctor_id),
        key=ask.idempotency_key,
        route="POST /consultations/{id}/transfer",
        result=Consultation,
    )
    return SeeOther(location="/queue", notice="handed-on")


async def tell_delay_by_form(tx: Tx, ask: DelayForm) -> SeeOther:
    """Tell all who wait."""
    minutes = int(ask.minutes) if ask.minutes.isdigit() else 0
    await tell_delay(tx, build(TellDelay, {"minutes": minutes, "reason": ask.reason}))
    return SeeOther(location="/queue")


async def end_delay_by_form(tx: Tx, ask: Nothing) -> SeeOther:
    """Take it back."""
    await end_delay(tx, ask)
    return SeeOther(location="/queue")


async def attach_by_form(run: Run, ask: AttachFile, *, cipher: Cipher, settings: Settings) -> SeeOther:
    """Send a file: its name is what the message says."""
    sent = await attach_file(run, ask, cipher=cipher, settings=settings)
    message = WriteMessage(id=ask.id, client_id=uuid4().hex, text=sent.name, attachment_id=sent.id)
    await run(partial(write_message, cipher=cipher), message)
    return SeeOther(location=f"/consultations/{ask.id}#chat")


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The forms of the queue and of the chat's files."""
    own = as_doctor.and_("doctor of the consultation", doctor_of_consultation)
    return [
        post("/consultations/{id}/skip", partial(skip_by_form, cipher=cipher), access=own, body=form, reply=redirect),
        post(
            "/consultations/{id}/put-back",
            partial(put_back_by_form, cipher=cipher),
            access=own,
            body=form,
            reply=redirect,
        ),
        post(
            "/consultations/{id}/transfer",
            partial(transfer_by_form, cipher=cipher, settings=settings),
            access=own,
            body=form,
            reply=redirect,
        ),
        post("/queue/notice", tell_delay_by_form, access=as_doctor, body=form, reply=redirect),
        post("/queue/notice/end", end_delay_by_form, access=as_doctor, body=form, reply=redirect),
        post(
            "/consultations/{id}/attachments",
            partial(attach_by_form, cipher=cipher, settings=settings),
            access=as_either.and_("reader of the chat", reader_of_consultation),
            body=upload(max_mb=10),
            reply=redirect,
        ),
    ]
