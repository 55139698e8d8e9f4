"""Files in the chat: each is checked once it is kept, and nobody opens it before."""

from __future__ import annotations

from server.consultations import AttachmentUploaded, OfAttachment, check_attachment
from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Run
from worker.registry import on


@on(AttachmentUploaded)
async def check(run: Run, event: AttachmentUploaded, *, cipher: Cipher, settings: Settings) -> None:
    """Have it scanned, and tell the chat what came of it; with the scanner away this is due again."""
    await check_attachment(run, OfAttachment(id=event.attachment_id), cipher=cipher, settings=settings)
