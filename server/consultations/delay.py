"""What a doctor tells all who wait: that the next turn is some minutes away, and why, in preset words."""

from __future__ import annotations

from datetime import timedelta

from server.consultations import queries
from server.consultations.events import QueueNotice
from server.consultations.models import DelayNotice, TellDelay
from server.consultations.waiting import tell_places
from server.core.errors import NotFound
from server.core.ids import DoctorId, new_id
from server.core.models import Done, Nothing
from server.core.tx import Tx


async def tell_delay(tx: Tx, ask: TellDelay) -> DelayNotice:
    """Tell everybody who waits, and whoever checks in until then; their turns are reckoned anew. Said again, it counts
    from now. Raises NotFound for anybody but a doctor."""
    doctor_id = await _own_queue(tx)
    notice = DelayNotice(minutes=ask.minutes, reason=ask.reason, back_at=tx.now + timedelta(minutes=ask.minutes))
    await queries.keep_notice(tx, new_id(tx.now), doctor_id, ask.minutes, ask.reason)
    tx.emit(QueueNotice(doctor_id=doctor_id, notice=notice))
    await tell_places(tx, doctor_id)
    return notice


async def end_delay(tx: Tx, ask: Nothing) -> Done:
    """The doctor is back sooner. False where nothing was told. Raises NotFound for anybody but a doctor."""
    del ask
    doctor_id = await _own_queue(tx)
    if not await take_back(tx, doctor_id):
        return Done(done=False)
    await tell_places(tx, doctor_id)
    return Done()


async def take_back(tx: Tx, doctor_id: DoctorId) -> bool:
    """Forget what was told; whether it still held. The caller holds the queue, and tells the places."""
    was_live = await queries.drop_notice(tx, doctor_id)
    if was_live:
        tx.emit(QueueNotice(doctor_id=doctor_id, notice=None))
    return was_live


async def _own_queue(tx: Tx) -> DoctorId:
    if tx.actor.doctor_id is None:
        raise NotFound
    await queries.lock_queues(tx, tx.actor.doctor_id)
    return tx.actor.doctor_id
