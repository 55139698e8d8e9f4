"""Reminders: rows made when a consultation is confirmed, claimed by a tick when due."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from asyncpg import Record

from server.accounts import QuietHours
from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.settings import Settings
from server.core.tx import Tx
from server.notifications import reminder_queries as queries
from server.notifications.models import Letter
from server.notifications.quiet import quiet_until
from server.notifications.write import write_letter

AHEAD = {"24h": timedelta(hours=24), "1h": timedelta(hours=1), "10min": timedelta(minutes=10)}
NEARER = {"24h": AHEAD["1h"], "1h": AHEAD["10min"], "10min": timedelta(0)}
LAST = "10min"
AT_ONCE = 50


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
        await queries.make_reminders(tx, consultation_id, row["patient_id"], row["start_time"], coming)
    if past:
        await queries.drop_reminders(tx, consultation_id, past)


async def drop_reminders(tx: Tx, consultation_id: ConsultationId) -> None:
    """No reminder for this consultation any more."""
    await queries.drop_reminders(tx, consultation_id)


async def send_due_reminders(tx: Tx, *, cipher: Cipher, settings: Settings) -> bool:
    """Write the letters of reminders that are due; True when there may be more.

    One for a meeting that is not to come any more is dropped unsent, and so is one that a nearer one has overtaken
    (nobody worked for a while). One that falls into its reader's quiet hours waits for their end.
    """
    rows = await queries.due_reminders(tx, AT_ONCE)
    for row in rows:
        kind: str = row["kind"]
        meeting = await queries.live(tx, row["consultation_id"])
        if meeting is None or meeting["start_time"] - NEARER[kind] <= tx.now:
            await queries.drop_reminders(tx, row["consultation_id"], [kind])
            continue
        start: datetime = meeting["start_time"]
        if (due := start - AHEAD[kind]) > tx.now:
            # The meeting has moved, and the step that moves its reminders has not run yet.
            await queries.make_reminders(tx, row["consultation_id"], meeting["patient_id"], start, [(kind, due)])
            continue
        if (until := _quiet_until(kind, meeting, tx.now)) is not None:
            await queries.put_off(tx, row["id"], until)
            continue
        letter = Letter(
            kind="reminder",
            user_id=meeting["user_id"],
            # The start is part of the cause: a moved meeting is reminded of at its new time, once.
            cause=f"reminder:{row['id']}:{start.isoformat()}",
            consultation_id=row["consultation_id"],
            sms=kind != "24h",
            valid_until=start,
        )
        await write_letter(tx, letter, cipher=cipher, settings=settings)
        await queries.reminded(tx, row["id"])
    return len(rows) == AT_ONCE


def _quiet_until(kind: str, meeting: Record, now: datetime) -> datetime | None:
    """When a reminder may come that falls into quiet hours; None when it comes now: the last one always does, and so
    does one that the next would overtake while it waits."""
    if kind == LAST or meeting["quiet_hours"] is None:
        return None
    quiet = QuietHours.model_validate_json(meeting["quiet_hours"])
    until = quiet_until(quiet, ZoneInfo(meeting["time_zone"]), now)
    return until if until is not None and until < meeting["start_time"] - NEARER[kind] else None
