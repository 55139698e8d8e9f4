"""What a patient's device check found, for the doctor who is about to call."""

from __future__ import annotations

from server.consultations import queries
from server.consultations.change import held
from server.consultations.events import QueueChanged
from server.consultations.models import Readiness, ShowReadiness, TellReadiness
from server.consultations.status import Status
from server.consultations.waiting import queue_entry
from server.core.cipher import Cipher
from server.core.ids import ConsultationId
from server.core.tx import Tx


async def tell_readiness(tx: Tx, ask: TellReadiness, *, cipher: Cipher) -> Readiness:
    """Keep what was found and show it in the queue; the same again tells nobody. Once begun, nothing is kept."""
    found = Readiness(camera=ask.camera, microphone=ask.microphone, speaker=ask.speaker, network=ask.network)
    return await _keep(tx, ask.id, found, cipher)


async def show_readiness(tx: Tx, ask: ShowReadiness, *, cipher: Cipher) -> Readiness:
    """The same from a socket."""
    found = Readiness(camera=ask.camera, microphone=ask.microphone, speaker=ask.speaker, network=ask.network)
    return await _keep(tx, ask.consultation_id, found, cipher)


async def _keep(tx: Tx, id_: ConsultationId, found: Readiness, cipher: Cipher) -> Readiness:
    held_one = await held(tx, id_)
    if held_one.status is Status.PENDING and await queries.keep_readiness(tx, id_, found):
        tx.emit(QueueChanged(doctor_id=held_one.doctor_id, entry=await queue_entry(tx, id_, cipher)))
    return found
