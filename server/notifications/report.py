"""What the SMS provider reports of a message that it took: arrived, or not. Any order and repetition is harmless."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from server.core.errors import NotFound
from server.core.models import Ask, Done, Line
from server.core.privacy import Level
from server.core.tx import Tx
from server.notifications import queries
from server.notifications.models import State

TWILIO = "twilio"
STATES = {"delivered": State.DELIVERED, "read": State.DELIVERED, "undelivered": State.BOUNCED, "failed": State.FAILED}


class SmsReport(Ask):
    """A status callback of Twilio. It may say more than we read: what it adds tomorrow must not stop it."""

    model_config = ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True)

    provider: Annotated[Line, Level.PUBLIC]
    message: Annotated[Line, StringConstraints(max_length=64), Level.INTERNAL] = Field(validation_alias="MessageSid")
    status: Annotated[Line, StringConstraints(max_length=40), Level.INTERNAL] = Field(validation_alias="MessageStatus")
    error_code: Annotated[Line, StringConstraints(max_length=20), Level.INTERNAL] | None = Field(
        default=None, validation_alias="ErrorCode"
    )


async def take_report(tx: Tx, ask: SmsReport) -> Done:
    """Note what became of an SMS; its way there (accepted, sending, sent) needs no note. Raises NotFound."""
    if ask.provider != TWILIO or not await queries.known_ref(tx, ask.message):
        raise NotFound
    state = STATES.get(ask.status)
    if state is not None:
        error = f"twilio-{ask.error_code}" if ask.error_code and state is not State.DELIVERED else None
        await queries.report(tx, ask.message, state, error)
    return Done()
