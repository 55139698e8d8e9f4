"""All SQL of the chat and of doctors' notes."""

from __future__ import annotations

from uuid import UUID

from asyncpg import Record

from server.core.ids import AttachmentId, ConsultationId, MessageId, PatientId, UserId, made_at
from server.core.tx import Tx

# Who writes takes turns on the consultation's row: numbers are dense and in commit order.
HOLD_CHAT = """
    select patient_id, doctor_id, status, confirmed_at, ended_at
      from consultations where id = $1 and created_at = $2 for no key update
"""
SENT_BEFORE = """
    select id, consultation_id, patient_id, number, sender_role, client_id, body, attachment_id, created_at
      from messages where consultation_id = $1 and sender_id = $2 and client_id = $3
"""
ADD_MESSAGE = """
    insert into messages (id, consultation_id, patient_id, number, sender_id, sender_role, client_id, body,
                          attachment_id, created_at)
    select $1, $2, $3, coalesce(max(number), 0) + 1, $4, $5, $6, $7, $8, $9
      from messages where consultation_id = $2
    returning number
"""
MESSAGES_AFTER = """
    select id, consultation_id, patient_id, number, sender_role, client_id, body, attachment_id, created_at
      from messages where consultation_id = $1 and number > $2 order by number limit $3
"""
MESSAGES_BEFORE = """
    select id, consultation_id, patient_id, number, sender_role, client_id, body, attachment_id, created_at
      from messages where consultation_id = $1 and number < $2 order by number desc limit $3
"""
LATEST_MESSAGES = """
    select id, consultation_id, patient_id, number, sender_role, client_id, body, attachment_id, created_at
      from messages where consultation_id = $1 order by number desc limit $2
"""
HAS_ATTACHMENT = """
    select exists (select 1 from attachments where id = $1 and consultation_id = $2 and uploaded_by = $3
                                               and state <> 'blocked')
"""
MARK = """
    insert into chat_marks (consultation_id, user_id, read_number, read_at)
    select $1, $2, least($3, coalesce(max(number), 0)), $4 from messages where consultation_id = $1
    on conflict (consultation_id, user_id) do update
       set read_number = excluded.read_number, read_at = excluded.read_at
     where chat_marks.read_number < excluded.read_number
"""
READ_BY_OTHER = """
    select coalesce(max(read_number), 0) from chat_marks where consultation_id = $1 and user_id <> $2
"""
ADD_NOTE = """
    insert into notes (id, consultation_id, patient_id, author_id, body, created_at) values ($1, $2, $3, $4, $5, $6)
"""
NOTES = """
    select id, patient_id, body, created_at from notes where consultation_id = $1 and author_id = $2
     order by created_at, id
"""


async def hold_chat(tx: Tx, id_: ConsultationId) -> Record | None:
    """The consultation's row, held so that messages take turns."""
    return await tx.conn.fetchrow(HOLD_CHAT, id_, made_at(id_))


async def sent_before(tx: Tx, id_: ConsultationId, sender: UserId, client_id: str) -> Record | None:
    """The message that this sender made of the same client_id."""
    return await tx.conn.fetchrow(SENT_BEFORE, id_, sender, client_id)


async def add_message(
    tx: Tx,
    message_id: MessageId,
    id_: ConsultationId,
    patient_id: PatientId,
    sender: UserId,
    role: str,
    client_id: str,
    body: bytes,
    attachment_id: AttachmentId | None,
) -> int:
    """Append a message under the next number."""
    number = await tx.conn.fetchval(
        ADD_MESSAGE, message_id, id_, patient_id, sender, role, client_id, body, attachment_id, tx.now
    )
    assert isinstance(number, int)
    return number


async def messages_after(tx: Tx, id_: ConsultationId, number: int, limit: int) -> list[Record]:
    """Messages after a number, oldest first."""
    return await tx.conn.fetch(MESSAGES_AFTER, id_, number, limit)


async def messages_before(tx: Tx, id_: ConsultationId, number: int, limit: int) -> list[Record]:
    """The last messages before a number, oldest first."""
    return (await tx.conn.fetch(MESSAGES_BEFORE, id_, number, limit))[::-1]


async def latest(tx: Tx, id_: ConsultationId, limit: int) -> list[Record]:
    """The last messages, oldest first."""
    return (await tx.conn.fetch(LATEST_MESSAGES, id_, limit))[::-1]


async def has_attachment(tx: Tx, id_: ConsultationId, attachment_id: AttachmentId, sender: UserId) -> bool:
    """Whether the sender uploaded this to this consultation."""
    return bool(await tx.conn.fetchval(HAS_ATTACHMENT, attachment_id, id_, sender))


async def mark(tx: Tx, id_: ConsultationId, reader: UserId, number: int) -> None:
    """Note what was read; never back."""
    await tx.conn.execute(MARK, id_, reader, number, tx.now)


async def read_by_other(tx: Tx, id_: ConsultationId, reader: UserId) -> int:
    """The last number that the other side has read."""
    return int(await tx.conn.fetchval(READ_BY_OTHER, id_, reader) or 0)


async def add_note(
    tx: Tx, note_id: UUID, id_: ConsultationId, patient_id: PatientId, author: UserId, body: bytes
) -> None:
    """Keep a note."""
    await tx.conn.execute(ADD_NOTE, note_id, id_, patient_id, author, body, tx.now)


async def notes(tx: Tx, id_: ConsultationId, author: UserId) -> list[Record]:
    """An author's notes, oldest first."""
    return await tx.conn.fetch(NOTES, id_, author)
