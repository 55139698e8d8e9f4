"""What can be asked of the trail."""

from __future__ import annotations

from server.audit.look import access_log, list_audit
from server.audit.models import ReadAccessLog
from server.core.errors import Invalid, NotFound
from server.core.routes import Route, as_admin, as_patient, get
from server.core.tx import Tx


async def is_own_record(tx: Tx, ask: ReadAccessLog) -> None:
    """Only the patient whose record it is. Raises NotFound."""
    if tx.actor.patient_id is None or tx.actor.patient_id != ask.id:
        raise NotFound


def routes() -> list[Route]:
    """The lines of the trail."""
    return [
        get("/audit", list_audit, access=as_admin, raises=[Invalid], tags=["audit"]),
        get(
            "/patients/{id}/access-log",
            access_log,
            access=as_patient.and_("own record", is_own_record),
            raises=[Invalid, NotFound],
            tags=["audit"],
        ),
    ]
