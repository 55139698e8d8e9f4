"""A doctor's notes on a consultation: written and read by that doctor alone, never changed."""

from __future__ import annotations

from server.consultations import chat_queries
from server.consultations.change import consultation
from server.consultations.models import Note, Notes, OfConsultation, WriteNote
from server.core.cipher import Cipher, Place
from server.core.ids import new_id
from server.core.tx import Tx


async def write_note(tx: Tx, ask: WriteNote, *, cipher: Cipher) -> Note:
    """Keep a note, sealed with the patient's key."""
    found = await consultation(tx, ask.id)
    assert tx.actor.user_id is not None
    note_id = new_id(tx.now)
    sealed = await cipher.seal(tx, found.patient_id, Place("notes", "body", note_id), ask.text)
    await chat_queries.add_note(tx, note_id, ask.id, found.patient_id, tx.actor.user_id, sealed)
    return Note(id=note_id, text=ask.text, created_at=tx.now)


async def list_notes(tx: Tx, ask: OfConsultation, *, cipher: Cipher) -> Notes:
    """The doctor's own notes on a consultation, oldest first. The reading is noted in the trail."""
    assert tx.actor.user_id is not None
    items: list[Note] = []
    for row in await chat_queries.notes(tx, ask.id, tx.actor.user_id):
        text = await cipher.open(tx, row["patient_id"], Place("notes", "body", row["id"]), row["body"])
        items.append(Note(id=row["id"], text=text, created_at=row["created_at"]))
        if len(items) == 1:
            tx.saw(row["patient_id"], "notes", ask.id)
    return Notes(items=items)
