"""Prescriptions: written in the consultation, sealed, read by patient and doctor, printed, and checked by a code."""

from server.prescriptions.events import PrescriptionWritten
from server.prescriptions.models import (
    Genuine,
    MedicineLine,
    OfPrescription,
    Prescription,
    Prescriptions,
    PrintPrescription,
    VerifyPrescription,
    WritePrescription,
)
from server.prescriptions.paper import Medicine, PrescriptionSheet, typeset
from server.prescriptions.print import prescription_sheet, print_prescription
from server.prescriptions.read import list_prescriptions, read_prescription
from server.prescriptions.routes import routes
from server.prescriptions.verify import verify_prescription
from server.prescriptions.write import NotInConsultation, write_prescription

__all__ = [
    "Genuine",
    "Medicine",
    "MedicineLine",
    "NotInConsultation",
    "OfPrescription",
    "Prescription",
    "PrescriptionSheet",
    "PrescriptionWritten",
    "Prescriptions",
    "PrintPrescription",
    "VerifyPrescription",
    "WritePrescription",
    "list_prescriptions",
    "prescription_sheet",
    "print_prescription",
    "read_prescription",
    "routes",
    "typeset",
    "verify_prescription",
    "write_prescription",
]
