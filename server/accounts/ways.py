"""By which ways a user hears of what, and the hours in which they want quiet."""

from __future__ import annotations

import json
from typing import Any, cast

from asyncpg import Record

from server.accounts.models import ChangeMe, Channels, QuietHours, Reminders
from server.core.errors import FieldError, Invalid


def channels_of(row: Record) -> Channels:
    """What a user's row says of the ways; what it does not name is yes."""
    stored = cast("dict[str, Any]", json.loads(row["channels"]))
    return Channels.model_validate({**stored, "reminders": json.loads(row["reminders"])})


def reminders_of(row: Record) -> Reminders:
    """The ways of reminders as the contract's older field names them."""
    ways = channels_of(row).reminders
    return Reminders(mail=ways.mail, sms=ways.sms)


def quiet_hours_of(row: Record) -> QuietHours | None:
    """The hours in which nothing that can wait is sent; None for none."""
    return QuietHours.model_validate_json(row["quiet_hours"]) if row["quiet_hours"] is not None else None


def changed_channels(row: Record, ask: ChangeMe) -> Channels:
    """The ways after a change: what is named is set, the rest stays. Raises Invalid when both names of the ways of
    reminders are used and contradict each other."""
    now = channels_of(row).model_dump()
    if ask.channels is not None:
        for topic, ways in ask.channels.model_dump(exclude_unset=True).items():
            now[topic] |= ways
    if ask.reminders is not None:
        named = ask.channels.reminders if ask.channels is not None else None
        older = ask.reminders.model_dump()
        if named is not None and any(getattr(named, way) != older[way] for way in named.model_fields_set & set(older)):
            raise Invalid(
                errors=[
                    FieldError(field="reminders", code="contradiction", message="channels.reminders says otherwise.")
                ]
            )
        now["reminders"] |= older
    return Channels.model_validate(now)
