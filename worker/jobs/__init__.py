"""The ticks: what the house does by the clock."""

from __future__ import annotations

from functools import partial

from server.core.cipher import Cipher
from server.core.settings import Settings
from server.notifications import send_again, send_due_reminders
from server.payments import begin_reconciliations
from server.scheduling import end_due_offers
from worker.jobs.holds import expire_holds
from worker.jobs.partitions import detach_old_months, make_partitions
from worker.jobs.slots import keep_slots_ahead
from worker.jobs.trim import trim
from worker.ticks import Tick

HOUR = 3600.0


def ticks_of(settings: Settings, cipher: Cipher) -> list[Tick]:
    """Every tick with what it needs."""
    return [
        Tick("holds", 1.0, partial(expire_holds, cipher=cipher)),
        Tick("offers", 1.0, end_due_offers),
        Tick("reminders", 1.0, partial(send_due_reminders, cipher=cipher, settings=settings)),
        Tick("letters", 5.0, send_again),
        Tick("partitions", HOUR, make_partitions),
        Tick("trail", HOUR, partial(detach_old_months, settings=settings)),
        Tick("slots", HOUR, partial(keep_slots_ahead, settings=settings)),
        Tick("trim", 600.0, trim),
        Tick("reconciliations", 60.0, partial(begin_reconciliations, settings=settings)),
    ]


__all__ = ["ticks_of"]
