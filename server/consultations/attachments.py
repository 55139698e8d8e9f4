"""Files in the chat: sent, checked by the worker, listed, and read by those who may read the chat."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from asyncpg import Record

from server.consultations import attachment_queries as queries
from server.consultations.events import AttachmentChanged, AttachmentUploaded
from server.consultations.file_kinds import CleanFile, clean_file
from server.consultations.models import (
    AttachFile,
    Attachment,
    Attachments,
    AttachmentState,
    OfAttachment,
    OfConsultation,
    OneAttachment,
)
from server.consultations.object_store import new_name, open_pieces, open_store, seal_pieces
from server.consultations.open_chat import writable_chat
from server.consultations.scan import scan
from server.core.cipher import Cipher, Place
from server.core.errors import Conflict, NotFound
from server.core.ids import AttachmentId, ConsultationId, PatientId, UserId, new_id
from server.core.routes import Document
from server.core.settings import Settings
from server.core.tx import Role, Run, Tx

FILES_A_CONSULTATION = 20
BYTES_A_PERSON = 200_000_000


class TooManyFiles(Conflict):
    """Twenty files a consultation and 200 MB a person is as much as is kept."""

    code = "too-many-files"
    title = "No more files can be sent here."


class NotChecked(Conflict):
    """The file is still being checked, or something was found in it."""

    code = "not-checked"
    title = "This file cannot be opened."


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file that lies sealed in the store."""

    consultation_id: ConsultationId
    file: CleanFile
    object_name: str


async def attach_file(run: Run, ask: AttachFile, *, cipher: Cipher, settings: Settings) -> Attachment:
    """Keep a file for the chat: found out what it is, drawn anew, sealed, and checked by the worker then.

    Raises FileRefused, TooManyFiles, NothingIsKept, NotFound, and what forbids writing in the chat.
    """
    store = open_store(settings)
    name = new_name()
    key = await run(partial(_key_for, cipher=cipher, name=name), ask)
    file = await asyncio.to_thread(clean_file, ask.file.name, ask.file.media_type, ask.file.content)
    await store.put(name, await asyncio.to_thread(seal_pieces, key, name, file.content))
    try:
        return await run(partial(_keep, cipher=cipher), _Stored(ask.id, file, name))
    except BaseException:
        await store.drop(name)
        raise


async def list_attachments(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Attachments:
    """A consultation's files, oldest first."""
    rows = await queries.of_consultation(tx, ask.id)
    if rows and tx.actor.role is not Role.PATIENT:
        tx.saw(rows[0]["patient_id"], "attachments", ask.id)
    return Attachments(items=[await attachment_from(tx, row, cipher) for row in rows])


async def download_attachment(run: Run, ask: OneAttachment, *, cipher: Cipher, settings: Settings) -> Document:
    """The file itself, to be saved. Raises NotFound, NotChecked, NothingIsKept."""

    async def look(tx: Tx, ask: OneAttachment) -> tuple[Attachment, str, bytes]:
        row = await queries.read(tx, ask.attachment_id)
        if row is None or row["consultation_id"] != ask.id:
            raise NotFound
        if row["state"] != "clean":
            raise NotChecked(state=row["state"])
        if tx.actor.role is not Role.PATIENT:
            tx.saw(row["patient_id"], "attachment", ask.attachment_id)
        name: str = row["object_name"]
        return await attachment_from(tx, row, cipher), name, await cipher.file_key(tx, row["patient_id"], name)

    found, name, key = await run.read(look, ask)
    content = await _opened(settings, key, name)
    return Document(content=content, media_type=found.content_type, filename=found.name, is_foreign=True)


async def check_attachment(run: Run, ask: OfAttachment, *, cipher: Cipher, settings: Settings) -> None:
    """Have a file scanned, say what came of it, and forget one in which something was found; again changes nothing.

    Without a scanner the kind, found out when it was sent, is all that is known. Raises ScannerAway.
    """

    async def look(tx: Tx, ask: OfAttachment) -> tuple[str, bytes] | None:
        row = await queries.read(tx, ask.id)
        if row is None or row["state"] != "pending":
            return None
        name: str = row["object_name"]
        return name, await cipher.file_key(tx, row["patient_id"], name)

    found = await run.read(look, ask)
    if found is None:
        return
    name, key = found
    state: AttachmentState = "clean"
    if settings.clamd_url is not None:
        state = await scan(settings.clamd_url, await _opened(settings, key, name))
    if state == "blocked":
        await open_store(settings).drop(name)

    async def settle(tx: Tx, ask: OfAttachment) -> None:
        if await queries.settle(tx, ask.id, state):
            row = await queries.read(tx, ask.id)
            assert row is not None
            shown = await attachment_from(tx, row, cipher)
            tx.emit(AttachmentChanged(consultation_id=row["consultation_id"], attachment=shown))

    await run(settle, ask)


async def attachments_by_id(tx: Tx, ids: Sequence[UUID], cipher: Cipher) -> dict[UUID, Attachment]:
    """These files, for whoever may read the chat that they stand in."""
    rows = await queries.some(tx, ids) if ids else []
    return {row["id"]: await attachment_from(tx, row, cipher) for row in rows}


async def attachment_from(tx: Tx, row: Record, cipher: Cipher) -> Attachment:
    """What a row says of a file."""
    place = Place("attachments", "name", row["id"])
    return Attachment(
        id=row["id"],
        name=await cipher.open(tx, row["patient_id"], place, row["name"]),
        content_type=row["content_type"],
        size_bytes=row["size_bytes"],
        state=row["state"],
        created_at=row["created_at"],
    )


async def _opened(settings: Settings, key: bytes, name: str) -> bytes:
    sealed = await open_store(settings).get(name)
    return await asyncio.to_thread(open_pieces, key, name, sealed)


async def _key_for(tx: Tx, ask: AttachFile, *, cipher: Cipher, name: str) -> bytes:
    patient_id, sender = await _may_send(tx, ask.id)
    await _within_quota(tx, sender, ask.id, len(ask.file.content))
    return await cipher.file_key(tx, patient_id, name)


async def _keep(tx: Tx, ask: _Stored, *, cipher: Cipher) -> Attachment:
    patient_id, sender = await _may_send(tx, ask.consultation_id)
    await _within_quota(tx, sender, ask.consultation_id, len(ask.file.content))
    id_ = AttachmentId(new_id(tx.now))
    name = await cipher.seal(tx, patient_id, Place("attachments", "name", id_), ask.file.name)
    file, size = ask.file, len(ask.file.content)
    await queries.add(tx, id_, ask.consultation_id, patient_id, sender, name, file.content_type, size, ask.object_name)
    tx.emit(AttachmentUploaded(attachment_id=id_, consultation_id=ask.consultation_id))
    return Attachment(
        id=id_, name=file.name, content_type=file.content_type, size_bytes=size, state="pending", created_at=tx.now
    )


async def _may_send(tx: Tx, consultation_id: ConsultationId) -> tuple[PatientId, UserId]:
    row = await writable_chat(tx, consultation_id)
    if tx.actor.user_id is None:
        raise NotFound
    return row["patient_id"], tx.actor.user_id


async def _within_quota(tx: Tx, sender: UserId, consultation_id: ConsultationId, size: int) -> None:
    here, before = await queries.sent_so_far(tx, sender, consultation_id)
    if here >= FILES_A_CONSULTATION or before + size > BYTES_A_PERSON:
        raise TooManyFiles
