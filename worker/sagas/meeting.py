"""The meeting: a prescription that is written reaches the patient's mail as a link, never as its text."""

from __future__ import annotations

from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import Letter, meeting_of, write_letter
from server.prescriptions import PrescriptionWritten
from worker.registry import on


@on(PrescriptionWritten)
async def mail_prescription(tx: Tx, event: PrescriptionWritten, *, cipher: Cipher, settings: Settings) -> None:
    """Tell the patient that it is there."""
    meeting = await meeting_of(tx, event.consultation_id)
    letter = Letter(
        kind="prescription_ready",
        user_id=meeting.patient_user_id,
        cause=f"prescription:{event.prescription_id}",
        consultation_id=event.consultation_id,
        link=f"{settings.public_url}/prescriptions/{event.prescription_id}",
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)
