"""What booking tells: the worker and webhooks. Rooms hear of it through slots, queue and consultation."""

from __future__ import annotations

from server.core.events import Event
from server.core.ids import ConsultationId, SlotId
from server.core.models import Instant


class ConsultationBooked(Event, name="consultation.booked"):
    """For the worker and webhooks; no room hears it."""

    consultation_id: ConsultationId


class ConsultationMoved(Event, name="consultation.moved"):
    """The consultation kept its payment and changed its slot; reminders and calendars follow."""

    consultation_id: ConsultationId
    from_slot_id: SlotId
    to_slot_id: SlotId
    start_time: Instant
    was_start_time: Instant


class FollowUpBooked(Event, name="consultation.follow_up_booked"):
    """The doctor booked the next consultation for the patient, who is told and pays where there is a fee."""

    consultation_id: ConsultationId
    follow_up_of: ConsultationId
