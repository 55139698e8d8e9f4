"""What a payment is worth: the balance of its ledger, never the last thing that was reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from server.core.ids import ConsultationId, PatientId
from server.core.money import Money
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import queries
from server.payments.events import PaymentChanged, PaymentOrderDue
from server.payments.gateway import HOUSE
from server.payments.hold import hold_until
from server.payments.models import Entry, EntryKind, Payment, PaymentStatus

UNPAID = frozenset({PaymentStatus.PENDING, PaymentStatus.AUTHORISED, PaymentStatus.FAILED})


def status_of(payment: Payment, ledger: Sequence[Entry]) -> PaymentStatus:
    """The status that the entries make. Order does not matter, since reports come in any order.

    An expired payment stays so until money comes; one that went back in part stays captured.
    """
    kinds: dict[str, set[EntryKind]] = defaultdict(set)
    for entry in ledger:
        kinds[entry.of].add(entry.kind)
    left = balances(ledger)
    captured = [attempt for attempt, each in kinds.items() if EntryKind.CAPTURED in each]
    # Free of charge is captured with nothing to be left.
    if any(left[attempt] > 0 or EntryKind.REFUNDED not in kinds[attempt] for attempt in captured):
        return PaymentStatus.CAPTURED
    if captured:
        return PaymentStatus.REFUNDED
    if payment.status is PaymentStatus.EXPIRED:
        return PaymentStatus.EXPIRED
    if any(EntryKind.AUTHORISED in each and EntryKind.FAILED not in each for each in kinds.values()):
        return PaymentStatus.AUTHORISED
    return PaymentStatus.FAILED if kinds else PaymentStatus.PENDING


def balances(ledger: Sequence[Entry]) -> dict[str, int]:
    """What is left of each captured attempt, in minor units, the oldest first. Returns that failed count for nothing,
    and so do those of an attempt that is not reported as captured yet."""
    failed = {entry.provider_payment for entry in ledger if entry.kind is EntryKind.REFUND_FAILED}
    left = {entry.of: entry.amount_minor for entry in ledger if entry.kind is EntryKind.CAPTURED}
    for entry in ledger:
        if entry.kind is EntryKind.REFUNDED and entry.of in left and entry.provider_payment not in failed:
            left[entry.of] -= entry.amount_minor
    return left


async def write_down(tx: Tx, payment: Payment) -> Payment:
    """Bring the status in line with the ledger, telling the room when it changed."""
    status = status_of(payment, await queries.entries(tx, payment.id))
    return payment if status is payment.status else await change(tx, payment, status)


async def open_payment(
    tx: Tx,
    consultation_id: ConsultationId,
    patient_id: PatientId,
    fee: Money,
    *,
    settings: Settings,
    until: datetime | None = None,
) -> Payment:
    """Open the payment of a consultation: pending until the hold ends (`until`, or the usual time), or captured
    at once when there is no fee.

    Booking does the same inside its one statement (server/booking/queries.py); this is for every other way to meet.
    """
    if fee.amount_minor == 0:
        payment = await queries.insert_payment(
            tx, consultation_id, patient_id, fee, PaymentStatus.CAPTURED, HOUSE, None
        )
        await queries.add_entry(tx, payment, EntryKind.CAPTURED, 0, str(payment.id))
        return payment
    payment = await queries.insert_payment(
        tx,
        consultation_id,
        patient_id,
        fee,
        PaymentStatus.PENDING,
        settings.gateway,
        until or hold_until(tx.now, settings),
    )
    if payment.provider_order is None:
        tx.emit(PaymentOrderDue(consultation_id=consultation_id))
    return payment


async def change(tx: Tx, payment: Payment, status: PaymentStatus) -> Payment:
    """Give a payment another status and tell its consultation's room."""
    changed = await queries.set_status(tx, payment.id, status)
    tx.emit(PaymentChanged(consultation_id=changed.consultation_id, payment=changed.shown()))
    return changed
