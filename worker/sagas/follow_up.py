"""A follow-up: booked by the doctor -> the patient is told, and where to pay when there is a fee."""

from __future__ import annotations

from server.booking import FollowUpBooked
from server.consultations import Status, consultation
from server.core.cipher import Cipher
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import Letter, meeting_of, write_letter
from worker.registry import on


@on(FollowUpBooked)
async def mail_follow_up(tx: Tx, event: FollowUpBooked, *, cipher: Cipher, settings: Settings) -> None:
    """Tell the patient what waits for their payment. A free one is told by its confirmation."""
    held = await consultation(tx, event.consultation_id)
    if held.confirmed_at is not None or held.status is not Status.PENDING:
        return
    meeting = await meeting_of(tx, event.consultation_id)
    letter = Letter(
        kind="follow_up",
        user_id=meeting.patient_user_id,
        cause=f"follow-up:{event.consultation_id}",
        consultation_id=event.consultation_id,
        link=f"{settings.public_url}{held.payment.checkout_url or f'/consultations/{held.id}'}",
        sms=True,
    )
    await write_letter(tx, letter, cipher=cipher, settings=settings)
