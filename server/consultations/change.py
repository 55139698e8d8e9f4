"""How a status changes: hold the row, look at the table, keep the new times, tell everybody."""

from __future__ import annotations

from server.consultations import queries
from server.consultations.models import Consultation
from server.consultations.status import MOVES, Act, refuse_unless
from server.consultations.waiting import tell
from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.ids import ConsultationId
from server.core.tx import Tx


async def consultation(tx: Tx, id_: ConsultationId) -> Consultation:
    """A consultation as it is. Raises NotFound."""
    found = await queries.read(tx, id_)
    if found is None:
        raise NotFound
    return found


async def held(tx: Tx, id_: ConsultationId) -> Consultation:
    """The consultation, held until the transaction ends, its doctor's queue with it. Raises NotFound."""
    found = await queries.hold(tx, id_)
    if found is None:
        raise NotFound
    return found


def allow(act: Act, before: Consultation) -> None:
    """Refuse what the table of moves does not allow. Raises the problems of status.py."""
    refuse_unless(
        act,
        before.status,
        confirmed=before.confirmed_at is not None,
        checked_in=before.checked_in_at is not None,
        called=before.called_at is not None,
    )


async def change(tx: Tx, act: Act, before: Consultation, cipher: Cipher, **times: object) -> Consultation:
    """Give a held consultation these times and the status that the act leads to, and tell everybody.

    Raises the problems of status.py.
    """
    allow(act, before)
    # Payment and checkout are read anew: what may be paid hangs on the status.
    await queries.keep(tx, before, before.model_copy(update={"status": MOVES[act].after, **times}))
    after = await consultation(tx, before.id)
    await tell(tx, before, after, cipher)
    return after
