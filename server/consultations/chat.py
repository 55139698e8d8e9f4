"""The chat of a consultation: durable, sealed, numbered without gaps, each line once however often it is sent."""

from __future__ import annotations

from asyncpg import Record

from server.consultations import chat_queries
from server.consultations.access import Who, may
from server.consultations.attachments import attachments_by_id
from server.consultations.events import ChatMessage
from server.consultations.models import (
    Attachment,
    Consultation,
    ListMessages,
    Message,
    Messages,
    ReadMessages,
    SendMessage,
    Side,
    WriteMessage,
)
from server.consultations.open_chat import held_chat, refuse_closed
from server.core.cipher import Cipher, Place
from server.core.errors import FieldError, Invalid
from server.core.ids import AttachmentId, ConsultationId, MessageId, new_id
from server.core.models import Done
from server.core.tx import Role, Tx

SHOWN = 200


async def write_message(tx: Tx, ask: WriteMessage, *, cipher: Cipher) -> Message:
    """Say something. Raises NotConfirmed, TooLate a week after the end, WrongStatus once cancelled, Invalid."""
    return await _say(tx, ask.id, ask.client_id, ask.text, ask.attachment_id, cipher)


async def send_message(tx: Tx, ask: SendMessage, *, cipher: Cipher) -> Message:
    """The same from a socket."""
    return await _say(tx, ask.consultation_id, ask.client_id, ask.text, ask.attachment_id, cipher)


async def list_messages(tx: Tx, ask: ListMessages, *, cipher: Cipher) -> Messages:
    """A page of the chat, oldest first. A doctor's reading is noted in the trail."""
    assert tx.actor.user_id is not None
    if ask.before is not None:
        rows = await chat_queries.messages_before(tx, ask.id, ask.before, ask.limit + 1)
        page = rows[-ask.limit :]
        following = str(page[0]["number"]) if len(rows) > ask.limit else None
    else:
        rows = await chat_queries.messages_after(tx, ask.id, int(ask.cursor or 0), ask.limit + 1)
        page = rows[: ask.limit]
        following = str(page[-1]["number"]) if len(rows) > ask.limit else None
    return Messages(
        items=await _read(tx, ask.id, page, cipher),
        next_cursor=following,
        read_by_other=await chat_queries.read_by_other(tx, ask.id, tx.actor.user_id),
    )


async def read_messages(tx: Tx, ask: ReadMessages) -> Done:
    """Note that everything up to a number was read."""
    assert tx.actor.user_id is not None
    await chat_queries.mark(tx, ask.consultation_id, tx.actor.user_id, ask.number)
    return Done()


async def latest_messages(tx: Tx, of: Consultation, cipher: Cipher) -> list[Message]:
    """The last messages for one who may read them, oldest first; none for anybody else."""
    if not may(tx.actor, Who.READER, of.patient_id, of.doctor_id, status=of.status, ended_at=of.ended_at, now=tx.now):
        return []
    return await _read(tx, of.id, await chat_queries.latest(tx, of.id, SHOWN), cipher)


async def read_by_other(tx: Tx, of: Consultation) -> int:
    """The last number that the other side has read."""
    return await chat_queries.read_by_other(tx, of.id, tx.actor.user_id) if tx.actor.user_id else 0


async def _say(
    tx: Tx, id_: ConsultationId, client_id: str, text: str, attachment_id: AttachmentId | None, cipher: Cipher
) -> Message:
    row = await held_chat(tx, id_)
    sender = tx.actor.user_id
    assert sender is not None
    earlier = await chat_queries.sent_before(tx, id_, sender, client_id)
    if earlier is not None:
        return (await _read(tx, id_, [earlier], cipher))[0]
    refuse_closed(tx, row)
    if attachment_id is not None and not await chat_queries.has_attachment(tx, id_, attachment_id, sender):
        raise Invalid(errors=[FieldError(field="attachment_id", code="unknown", message="There is no such file.")])
    files = await attachments_by_id(tx, [attachment_id] if attachment_id else [], cipher)
    side: Side = "DOCTOR" if tx.actor.role is Role.DOCTOR else "PATIENT"
    message_id = MessageId(new_id(tx.now))
    sealed = await cipher.seal(tx, row["patient_id"], Place("messages", "body", message_id), text)
    number = await chat_queries.add_message(
        tx, message_id, id_, row["patient_id"], sender, side, client_id, sealed, attachment_id
    )
    message = Message(
        id=message_id,
        consultation_id=id_,
        number=number,
        sender_role=side,
        client_id=client_id,
        text=text,
        attachment_id=attachment_id,
        attachment=files.get(attachment_id) if attachment_id else None,
        created_at=tx.now,
    )
    tx.emit(ChatMessage(consultation_id=id_, message=message))
    return message


async def _read(tx: Tx, id_: ConsultationId, rows: list[Record], cipher: Cipher) -> list[Message]:
    if rows and tx.actor.role is not Role.PATIENT:
        tx.saw(rows[0]["patient_id"], "messages", id_)
    files = await attachments_by_id(tx, [row["attachment_id"] for row in rows if row["attachment_id"]], cipher)
    return [await _opened(tx, row, cipher, files.get(row["attachment_id"])) for row in rows]


async def _opened(tx: Tx, row: Record, cipher: Cipher, file: Attachment | None) -> Message:
    return Message(
        id=row["id"],
        consultation_id=row["consultation_id"],
        number=row["number"],
        sender_role=row["sender_role"],
        client_id=row["client_id"],
        text=await cipher.open(tx, row["patient_id"], Place("messages", "body", row["id"]), row["body"]),
        attachment_id=row["attachment_id"],
        attachment=file,
        created_at=row["created_at"],
    )
