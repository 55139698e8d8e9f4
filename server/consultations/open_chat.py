"""Whether something may still be said in the chat of a consultation."""

from __future__ import annotations

from datetime import timedelta

from asyncpg import Record

from server.consultations import chat_queries
from server.consultations.status import NotConfirmed, Status, TooLate, WrongStatus
from server.core.errors import NotFound
from server.core.ids import ConsultationId
from server.core.tx import Role, Tx

OPEN_AFTER = timedelta(days=7)


async def held_chat(tx: Tx, id_: ConsultationId) -> Record:
    """The consultation's row, held so that what is said takes turns. Raises NotFound for whoever is in none."""
    row = await chat_queries.hold_chat(tx, id_)
    if row is None or tx.actor.user_id is None or tx.actor.role not in (Role.DOCTOR, Role.PATIENT):
        raise NotFound
    return row


async def writable_chat(tx: Tx, id_: ConsultationId) -> Record:
    """The same where something may be said. Raises NotFound, NotConfirmed, TooLate a week after the end, WrongStatus
    once cancelled."""
    row = await held_chat(tx, id_)
    refuse_closed(tx, row)
    return row


def refuse_closed(tx: Tx, row: Record) -> None:
    """Raises NotConfirmed, TooLate a week after the end, WrongStatus once cancelled."""
    if row["status"] == Status.CANCELLED:
        raise WrongStatus("This consultation was cancelled: its chat is closed.")
    if row["confirmed_at"] is None:
        raise NotConfirmed
    if row["status"] == Status.COMPLETED and tx.now - row["ended_at"] > OPEN_AFTER:
        raise TooLate("The chat closes seven days after the consultation.")
