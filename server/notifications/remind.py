"""Reminders: rows made when a consultation is confirmed, claimed by a tick when due."""

from __future__ import annotations

from datetime import timedelta

from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import queries
from server.notifications.models import Letter
from server.notifications.write import write_letter

AHEAD = {"24h": timedelta(hours=24), "1h": timedelta(hours=1), "10min": timedelta(minutes=10)}


async def plan_reminders(tx: Tx, consultation_id: ConsultationId) -> None:
    """Ask for reminders a day, an hour and ten minutes ahead; those already past are skipped. Again moves them."""
    row = await queries.live(tx, consultation_id)
    if row is None:
        await queries.drop_reminders(tx, consultation_id)
        return
    due = [(kind, row["start_time"] - ahead) for kind, ahead in AHEAD.items()]
    coming = [(kind, at) for kind, at in due if at > tx.now]
    past = [kind for kind, at in due if at <= tx.now]
    if coming:
        await queries.make_reminders(tx, consultation_id, row["patient_id"], coming)
    if past:
        await queries.drop_reminders(tx, consultation_id, past)


async def drop_reminders(tx: Tx, consultation_id: ConsultationId) -> None:
    """No reminder for this consultation any more."""
    await queries.drop_reminders(tx, consultation_id)


async def send_due_reminders(tx: Tx, *, cipher: Cipher, settings: Settings) -> bool:
    """Write the letters of reminders that are due; True when there may be more. One for a meeting that is not
    to come any more is dropped unsent."""
    rows = await queries.due_reminders(tx)
    for row in rows:
        meeting = await queries.live(tx, row["consultation_id"])
        if meeting is None or meeting["start_time"] <= tx.now:
            await queries.drop_reminders(tx, row["consultation_id"], [row["kind"]])
            continue
        if (due := meeting["start_time"] - AHEAD[row["kind"]]) > tx.now:
            # The meeting has moved, and the step that moves its reminders has not run yet.
            await queries.make_reminders(tx, row["consultation_id"], meeting["patient_id"], [(row["kind"], due)])
            continue
        letter = Letter(
            kind="reminder",
            user_id=meeting["user_id"],
            # The start is part of the cause: a moved meeting is reminded of at its new time, once.
            cause=f"reminder:{row['id']}:{meeting['start_time'].isoformat()}",
            consultation_id=row["consultation_id"],
            sms=row["kind"] != "24h",
        )
        await write_letter(tx, letter, cipher=cipher, settings=settings)
        await queries.reminded(tx, row["id"])
    return len(rows) == 50
