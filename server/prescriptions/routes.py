"""What can be asked of prescriptions."""

from __future__ import annotations

from functools import partial

from server.consultations import as_either, reader_of_consultation, treating_doctor
from server.core.cipher import Cipher
from server.core.errors import Invalid, NotFound
from server.core.routes import Idempotent, Route, as_doctor, get, pdf, post, public
from server.core.settings import Settings
from server.prescriptions.print import print_prescription
from server.prescriptions.read import list_prescriptions, read_prescription
from server.prescriptions.verify import verify_prescription
from server.prescriptions.write import NotInConsultation, write_prescription

READ = "prescriptions:read"
WRITE = "prescriptions:write"


def routes(cipher: Cipher, settings: Settings) -> list[Route]:
    """The lines of prescriptions. The PDF stands first: `{id}` alone would take its name for an id."""
    tags = ["prescriptions"]
    return [
        get(
            "/prescriptions/{id}.pdf",
            partial(print_prescription, cipher=cipher, settings=settings),
            access=as_either,
            scope=READ,
            raises=[Invalid, NotFound],
            reply=pdf,
            tags=tags,
        ),
        get(
            "/prescriptions/verify/{code}",
            partial(verify_prescription, cipher=cipher),
            access=public,
            raises=[Invalid, NotFound],
            tags=tags,
        ),
        get(
            "/prescriptions/{id}",
            partial(read_prescription, cipher=cipher),
            access=as_either,
            scope=READ,
            raises=[NotFound],
            tags=tags,
        ),
        get(
            "/consultations/{id}/prescriptions",
            partial(list_prescriptions, cipher=cipher),
            access=as_either.and_("patient or treating doctor of the consultation", reader_of_consultation),
            scope=READ,
            raises=[NotFound],
            tags=tags,
        ),
        post(
            "/consultations/{id}/prescriptions",
            partial(write_prescription, cipher=cipher),
            status=201,
            access=as_doctor.and_("treating doctor of the consultation", treating_doctor),
            scope=WRITE,
            idempotent=Idempotent.REQUIRED,
            raises=[Invalid, NotFound, NotInConsultation],
            tags=tags,
        ),
    ]
