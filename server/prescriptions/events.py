"""What prescriptions tell."""

from __future__ import annotations

from server.consultations import CONSULTATION
from server.core.events import Event
from server.core.ids import ConsultationId, PrescriptionId


class PrescriptionWritten(Event, name="prescription.written", rooms=(CONSULTATION,)):
    """There is a prescription to read. Never what it says."""

    consultation_id: ConsultationId
    prescription_id: PrescriptionId
