"""What a payment is worth: the balance of its ledger, never the last thing that was reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from server.core.ids import ConsultationId, PatientId
from server.core.money import Money
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import queries
from server.payments.events import PaymentChanged, PaymentRefundDue
from server.payments.gateway import HOUSE, SANDBOX
from server.payments.hold import hold_until
from server.payments.models import Entry, EntryKind, Payment, PaymentStatus

UNPAID = frozenset({PaymentStatus.PENDING, PaymentStatus.AUTHORISED, PaymentStatus.FAILED})


def status_of(payment: Payment, ledger: Sequence[Entry]) -> PaymentStatus:
    """The status that the entries make. Order does not matter, since reports come in any order.

    An expired payment stays so until money comes.
    """
    kinds: dict[str, set[EntryKind]] = defaultdict(set)
    for entry in ledger:
        kinds[entry.provider_payment].add(entry.kind)
    if any(EntryKind.CAPTURED in each and EntryKind.REFUNDED not in each for each in kinds.values()):
        return PaymentStatus.CAPTURED
    if any(EntryKind.CAPTURED in each for each in kinds.values()):
        return PaymentStatus.REFUNDED
    if payment.status is PaymentStatus.EXPIRED:
        return PaymentStatus.EXPIRED
    if any(EntryKind.AUTHORISED in each and EntryKind.FAILED not in each for each in kinds.values()):
        return PaymentStatus.AUTHORISED
    return PaymentStatus.FAILED if kinds else PaymentStatus.PENDING


def unreturned(ledger: Sequence[Entry]) -> list[Entry]:
    """Captured attempts that were not given back, oldest first."""
    returned = {entry.provider_payment for entry in ledger if entry.kind is EntryKind.REFUNDED}
    return [e for e in ledger if e.kind is EntryKind.CAPTURED and e.provider_payment not in returned]


async def write_down(tx: Tx, payment: Payment) -> Payment:
    """Bring the status in line with the ledger, telling the room when it changed."""
    status = status_of(payment, await queries.entries(tx, payment.id))
    return payment if status is payment.status else await _change(tx, payment, status)


async def open_payment(
    tx: Tx, consultation_id: ConsultationId, patient_id: PatientId, fee: Money, *, settings: Settings
) -> Payment:
    """Open the payment of a consultation: pending until the hold ends, or captured at once when there is no fee.

    Booking does the same inside its one statement (server/booking/queries.py); this is for every other way to meet.
    """
    if fee.amount_minor == 0:
        payment = await queries.insert_payment(
            tx, consultation_id, patient_id, fee, PaymentStatus.CAPTURED, HOUSE, None
        )
        await queries.add_entry(tx, payment.id, EntryKind.CAPTURED, 0, HOUSE, str(payment.id))
        return payment
    return await queries.insert_payment(
        tx, consultation_id, patient_id, fee, PaymentStatus.PENDING, SANDBOX, hold_until(tx.now, settings)
    )


async def settle_cancelled(tx: Tx, consultation_id: ConsultationId) -> Payment | None:
    """The money side of a cancellation: what was captured is due back in full, what was not paid expires.

    None for a consultation without payment. A second call asks for no second refund of what went back already.
    """
    payment = await queries.locked_payment_of(tx, consultation_id)
    if payment is None or payment.amount_minor == 0:
        return payment
    if payment.status in UNPAID:
        return await _change(tx, payment, PaymentStatus.EXPIRED)
    await ask_for_refunds(tx, payment)
    return payment


async def ask_for_refunds(tx: Tx, payment: Payment, *, keep: int = 0) -> int:
    """Ask for the return of every captured attempt but the `keep` oldest; how many."""
    due = unreturned(await queries.entries(tx, payment.id))[keep:]
    for entry in due:
        tx.emit(
            PaymentRefundDue(
                payment_id=payment.id,
                consultation_id=payment.consultation_id,
                provider_payment=entry.provider_payment,
            )
        )
    return len(due)


async def _change(tx: Tx, payment: Payment, status: PaymentStatus) -> Payment:
    changed = await queries.set_status(tx, payment.id, status)
    tx.emit(PaymentChanged(consultation_id=changed.consultation_id, payment=changed.shown()))
    return changed
