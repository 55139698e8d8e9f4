"""Whether a printed prescription is genuine: what a chemist asks, without an account."""

from __future__ import annotations

from server.core.cipher import Cipher
from server.core.errors import NotFound
from server.core.tx import Tx
from server.prescriptions import queries
from server.prescriptions.models import Genuine, VerifyPrescription
from server.prescriptions.print import patient_name
from server.prescriptions.write import grouped


async def verify_prescription(tx: Tx, ask: VerifyPrescription, *, cipher: Cipher) -> Genuine:
    """Who wrote the prescription of this code, and when. Raises NotFound for a code that we did not give."""
    row = await queries.by_code(tx, ask.code)
    if row is None:
        raise NotFound("No prescription of ours has this code.")
    people = await queries.people(tx, row["doctor_id"], row["patient_id"])
    return Genuine(
        code=grouped(row["code"]),
        issued_at=row["created_at"],
        doctor_name=people["doctor_name"],
        registration_number=people["registration_number"],
        specialty=people["specialty"],
        patient_initials=initials(await patient_name(tx, people, cipher)),
    )


def initials(name: str) -> str:
    """First letters of the first and the last part of a name: "Asha Verma" is "A. V."."""
    parts = [part for part in name.split() if part[0].isalpha()]
    ends = parts[:1] + parts[1:][-1:]
    return " ".join(f"{part[0]}." for part in ends)
