"""A doctor changes the profile that patients see."""

from __future__ import annotations

from server.core.errors import NotFound
from server.core.tx import Tx
from server.doctors import queries
from server.doctors.events import DoctorChanged
from server.doctors.models import ChangeDoctor, ManagedDoctor
from server.doctors.search import search_text


async def is_own_profile(tx: Tx, ask: ChangeDoctor) -> None:
    """Only the doctor whose profile it is. Raises NotFound."""
    if tx.actor.doctor_id is None or tx.actor.doctor_id != ask.id:
        raise NotFound


async def change_doctor(tx: Tx, ask: ChangeDoctor) -> ManagedDoctor:
    """Change what is given. Consultations that are booked keep their fee. Raises NotFound."""
    was = await queries.lock(tx, ask.id)
    if was is None:
        raise NotFound
    given = {
        name: value
        for name in ("name", "specialty", "languages", "about", "fee", "currency", "walk_ins")
        if (value := getattr(ask, name)) is not None
    }
    is_now = was.model_copy(update=given)
    if is_now == was:
        return was
    is_now = is_now.model_copy(update={"languages": list(dict.fromkeys(is_now.languages))})
    await queries.change(tx, is_now, search_text(is_now.name, is_now.specialty, is_now.languages, is_now.about))
    tx.emit(DoctorChanged(doctor_id=ask.id))
    return is_now
