"""Prescriptions as paper: a page that prints to one sheet, and the same as a PDF."""

from __future__ import annotations

from functools import partial

from server.consultations import as_either
from server.core.cipher import Cipher
from server.core.routes import Route, get, page, pdf
from server.core.settings import Settings
from server.core.tx import Tx
from server.prescriptions import (
    OfPrescription,
    PrintPrescription,
    prescription_sheet,
    print_prescription,
    read_prescription,
)
from web.staff_views import PrescriptionView


async def show_prescription(tx: Tx, ask: OfPrescription, *, cipher: Cipher, settings: Settings) -> PrescriptionView:
    """The paper for its patient or its doctor. Raises NotFound for anybody else."""
    found = await read_prescription(tx, ask, cipher=cipher)
    return PrescriptionView(
        id=found.id,
        consultation_id=found.consultation_id,
        sheet=await prescription_sheet(tx, PrintPrescription(id=ask.id), cipher=cipher, settings=settings),
        pdf_urls={language: f"/prescriptions/{found.id}.pdf?language={language}" for language in ("en", "hi")},
    )


def routes(settings: Settings, cipher: Cipher) -> list[Route]:
    """The PDF stands first: `{id}` alone would take its name for an id."""
    return [
        get(
            "/prescriptions/{id}.pdf",
            partial(print_prescription, cipher=cipher, settings=settings),
            access=as_either,
            reply=pdf,
        ),
        get(
            "/prescriptions/{id}",
            partial(show_prescription, cipher=cipher, settings=settings),
            access=as_either,
            reply=page("prescription.html"),
        ),
    ]
