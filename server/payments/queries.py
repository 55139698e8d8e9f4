"""All SQL of payments: the payment, its ledger, the webhooks taken."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from server.core.ids import ConsultationId, PatientId, PaymentId, new_id
from server.core.money import Money
from server.core.tx import Tx
from server.payments.gateway import order_by_our_name
from server.payments.models import (
    Entry,
    EntryKind,
    Payment,
    PaymentStatus,
    Refund,
    RefundId,
    RefundReason,
    StoredWebhook,
)

_COLUMNS = (
    "id, consultation_id, patient_id, status, amount_minor, currency, provider, provider_order, expires_at, settled_at"
)
READ_PAYMENT = f"select {_COLUMNS} from payments where id = $1"  # noqa: S608 - a constant
LOCK_PAYMENT = READ_PAYMENT + " for update"
PAYMENT_OF = f"select {_COLUMNS} from payments where consultation_id = $1"  # noqa: S608 - a constant
LOCK_PAYMENT_OF = PAYMENT_OF + " for update"
OPEN_PAYMENT = f"""
    insert into payments (id, consultation_id, patient_id, amount_minor, currency, status, provider,
                          provider_order, expires_at, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    returning {_COLUMNS}
"""  # noqa: S608 - a constant
SET_STATUS = f"update payments set status = $2 where id = $1 returning {_COLUMNS}"  # noqa: S608 - a constant
KEEP_ORDER = f"""
    with kept as (
        insert into payment_orders (provider, provider_order, payment_id, pay_url, created_at)
        select provider, $2, id, $3, $4 from payments where id = $1
        on conflict do nothing
    )
    update payments set provider_order = $2 where id = $1 and provider_order is null
    returning {_COLUMNS}
"""  # noqa: S608 - a constant
PAY_URL = "select pay_url from payment_orders where provider = $1 and provider_order = $2"
# The unique key makes a second report of one attempt harmless, in whichever order reports come.
ADD_ENTRY = """
    insert into payment_entries (id, payment_id, kind, amount_minor, provider, provider_payment, created_at, attempt,
                                 reconciled)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    on conflict (provider, provider_payment, kind) do nothing
    returning id
"""
WHOSE_ATTEMPT = "select payment_id from payment_entries where provider = $1 and provider_payment = $2 limit 1"
PAYMENT_OF_ORDER = "select payment_id from payment_orders where provider = $1 and provider_order = $2"
ENTRIES = """
    select payment_id, kind, amount_minor, provider_payment, attempt, reconciled
      from payment_entries where payment_id = $1 order by created_at, id
"""
KEEP_WEBHOOK = """
    insert into payment_webhooks (id, provider, provider_event, type, body_hash, received_at)
    values ($1, $2, $3, $4, $5, $6)
    on conflict (provider, provider_event) do nothing
    returning id
"""
SETTLE = f"update payments set settled_at = $2 where id = $1 returning {_COLUMNS}"  # noqa: S608 - a constant
_REFUND = "id, payment_id, provider_payment, amount_minor, reason, provider_refund, done_at, failed_at"
REFUNDS = f"select {_REFUND} from payment_refunds where payment_id = $1 order by id"  # noqa: S608 - a constant
READ_REFUND = f"select {_REFUND} from payment_refunds where id = $1"  # noqa: S608 - a constant
ADD_REFUND = f"""
    insert into payment_refunds (id, payment_id, provider_payment, amount_minor, reason, created_at)
    values ($1, $2, $3, $4, $5, $6)
    returning {_REFUND}
"""  # noqa: S608 - a constant
END_REFUND = """
    update payment_refunds
       set provider_refund = coalesce($2, provider_refund),
           done_at = case when $3 = 'done' then $4::timestamptz end,
           failed_at = case when $3 = 'failed' then $4::timestamptz end
     where id = $1 and failed_at is null and (done_at is null or $3 = 'failed')
"""
HOLDS_DUE = """
    select id from payments
     where expires_at <= $1 and status in ('pending', 'authorised', 'failed')
     order by expires_at limit 20
"""


async def payment(tx: Tx, payment_id: PaymentId) -> Payment | None:
    """A payment, or None."""
    row = await tx.conn.fetchrow(READ_PAYMENT, payment_id)
    return Payment(**dict(row)) if row else None


async def locked_payment(tx: Tx, payment_id: PaymentId) -> Payment | None:
    """The same, held until the transaction ends: what changes one payment takes turns."""
    row = await tx.conn.fetchrow(LOCK_PAYMENT, payment_id)
    return Payment(**dict(row)) if row else None


async def payment_of(tx: Tx, consultation_id: ConsultationId) -> Payment | None:
    """The payment of a consultation, or None."""
    row = await tx.conn.fetchrow(PAYMENT_OF, consultation_id)
    return Payment(**dict(row)) if row else None


async def locked_payment_of(tx: Tx, consultation_id: ConsultationId) -> Payment | None:
    """The same, held until the transaction ends."""
    row = await tx.conn.fetchrow(LOCK_PAYMENT_OF, consultation_id)
    return Payment(**dict(row)) if row else None


async def insert_payment(
    tx: Tx,
    consultation_id: ConsultationId,
    patient_id: PatientId,
    money: Money,
    status: PaymentStatus,
    provider: str,
    expires_at: datetime | None,
) -> Payment:
    """Open the one payment of a consultation."""
    id_ = PaymentId(new_id(tx.now))
    row = await tx.conn.fetchrow(
        OPEN_PAYMENT,
        id_,
        consultation_id,
        patient_id,
        money.amount_minor,
        money.currency,
        status.value,
        provider,
        order_by_our_name(provider, id_),
        expires_at,
        tx.now,
    )
    assert row is not None
    return Payment(**dict(row))


async def set_status(tx: Tx, payment_id: PaymentId, status: PaymentStatus) -> Payment:
    """Write down what the ledger says."""
    row = await tx.conn.fetchrow(SET_STATUS, payment_id, status.value)
    assert row is not None
    return Payment(**dict(row))


async def keep_order(tx: Tx, payment_id: PaymentId, provider_order: str, pay_url: str | None) -> Payment | None:
    """Keep the gateway's name of the order: the payment when it is its first, else None."""
    row = await tx.conn.fetchrow(KEEP_ORDER, payment_id, provider_order, pay_url, tx.now)
    return Payment(**dict(row)) if row else None


async def pay_url(tx: Tx, provider: str, provider_order: str) -> str | None:
    """Where the gateway lets an order be paid, if that is an address."""
    return await tx.conn.fetchval(PAY_URL, provider, provider_order)


async def add_entry(
    tx: Tx,
    payment: Payment,
    kind: EntryKind,
    amount_minor: int,
    provider_payment: str,
    *,
    attempt: str | None = None,
    reconciled: bool = False,
) -> bool:
    """Add to the ledger; False if this attempt's report is there already."""
    row = await tx.conn.fetchrow(
        ADD_ENTRY,
        new_id(tx.now),
        payment.id,
        kind.value,
        amount_minor,
        payment.provider,
        provider_payment,
        tx.now,
        attempt,
        reconciled,
    )
    return row is not None


async def payment_of_attempt(tx: Tx, provider: str, provider_payment: str) -> PaymentId | None:
    """The payment whose ledger the gateway's attempt stands in, or None."""
    found: UUID | None = await tx.conn.fetchval(WHOSE_ATTEMPT, provider, provider_payment)
    return PaymentId(found) if found else None


async def payment_of_order(tx: Tx, provider: str, provider_order: str) -> PaymentId | None:
    """The payment that the gateway's order was opened for, or None."""
    found: UUID | None = await tx.conn.fetchval(PAYMENT_OF_ORDER, provider, provider_order)
    return PaymentId(found) if found else None


async def entries(tx: Tx, payment_id: PaymentId) -> list[Entry]:
    """The ledger of a payment, oldest first."""
    return [Entry(**dict(row)) for row in await tx.conn.fetch(ENTRIES, payment_id)]


async def settle(tx: Tx, payment_id: PaymentId) -> Payment:
    """Write down that what was captured has been judged by the rules of a cancellation."""
    row = await tx.conn.fetchrow(SETTLE, payment_id, tx.now)
    assert row is not None
    return Payment(**dict(row))


async def refunds(tx: Tx, payment_id: PaymentId) -> list[Refund]:
    """The returns of a payment that were asked for, oldest first."""
    return [Refund(**dict(row)) for row in await tx.conn.fetch(REFUNDS, payment_id)]


async def refund(tx: Tx, refund_id: RefundId) -> Refund | None:
    """A return that was asked for, or None."""
    row = await tx.conn.fetchrow(READ_REFUND, refund_id)
    return Refund(**dict(row)) if row else None


async def add_refund(
    tx: Tx, payment_id: PaymentId, provider_payment: str, amount_minor: int, reason: RefundReason
) -> Refund:
    """Write down that money is to go back."""
    row = await tx.conn.fetchrow(ADD_REFUND, new_id(tx.now), payment_id, provider_payment, amount_minor, reason, tx.now)
    assert row is not None
    return Refund(**dict(row))


async def end_refund(
    tx: Tx, refund_id: RefundId, provider_refund: str | None, state: Literal["done", "pending", "failed"]
) -> None:
    """Write down what became of a return, and the gateway's name of it. What is done can fail; not the reverse."""
    await tx.conn.execute(END_REFUND, refund_id, provider_refund, state, tx.now)


async def keep_webhook(tx: Tx, webhook: StoredWebhook) -> bool:
    """Store a webhook; False if it was taken before."""
    row = await tx.conn.fetchrow(
        KEEP_WEBHOOK,
        webhook.id,
        webhook.provider,
        webhook.provider_event,
        webhook.type,
        webhook.body_hash,
        tx.now,
    )
    return row is not None


async def holds_due(tx: Tx) -> list[PaymentId]:
    """Unpaid payments whose hold is over, the longest first, at most twenty."""
    return [row["id"] for row in await tx.conn.fetch(HOLDS_DUE, tx.now)]
