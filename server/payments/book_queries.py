"""SQL of the look into a gateway's books: ledger lines by the gateway's names, differences, looks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.core.ids import PaymentId, new_id
from server.core.tx import Tx
from server.payments.books_models import BookLine, Difference, Kind
from server.payments.models import EntryKind

LAST_BEGAN = "select max(started_at) from payment_reconciliations where provider = $1"
LAST_ENDED = "select max(done_at) from payment_reconciliations"
BEGIN = """
    insert into payment_reconciliations (id, provider, since, until, started_at) values ($1, $2, $3, $4, $5)
"""
LINES = """
    select e.provider_payment as name, e.kind, e.payment_id, e.amount_minor, p.currency
      from payment_entries e join payments p on p.id = e.payment_id
     where e.provider = $1 and e.provider_payment = any($2::text[])
"""
# An entry's id tells when it was made: the primary key finds the days.
LINES_BETWEEN = """
    select e.provider_payment as name, e.kind, e.payment_id, e.amount_minor, p.currency
      from payment_entries e join payments p on p.id = e.payment_id
     where e.id >= $2::uuid and e.id < $3::uuid and e.provider = $1 and e.kind in ('captured', 'refunded')
"""
EXISTING = "select id from payments where id = $1"
NOTE = """
    insert into payment_differences as d (id, provider, kind, reference, payment_id, ours_minor, theirs_minor, currency,
                                          found_at, seen_at, repaired_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, case when $10::boolean then $9::timestamptz end)
    on conflict (provider, kind, reference) do update
       set seen_at = excluded.seen_at, ours_minor = excluded.ours_minor, theirs_minor = excluded.theirs_minor,
           repaired_at = coalesce(d.repaired_at, excluded.repaired_at), gone_at = null
"""
# What this look covered and did not see again agrees by now.
GONE = """
    update payment_differences set gone_at = $3
     where provider = $1 and repaired_at is null and gone_at is null and found_at >= $2
       and seen_at < (select started_at from payment_reconciliations where id = $4)
"""
END = """
    update payment_reconciliations r
       set done_at = $2, checked = $3,
           found = (select count(*) from payment_differences d
                     where d.provider = r.provider and d.repaired_at is null and d.gone_at is null)
     where id = $1
    returning found
"""
DIFFERENCES = """
    select id, provider, kind, reference, payment_id, ours_minor, theirs_minor, currency, found_at, seen_at,
           repaired_at, gone_at
      from payment_differences
     where ($1::boolean or repaired_at is null and gone_at is null) and ($2::uuid is null or id < $2)
     order by id desc limit $3
"""
COUNT_OPEN = "select count(*) from payment_differences where repaired_at is null and gone_at is null"


async def last_began(tx: Tx, provider: str) -> datetime | None:
    """When a provider's books were last opened."""
    return await tx.conn.fetchval(LAST_BEGAN, provider)


async def last_ended(tx: Tx) -> datetime | None:
    """When books were last read to their end."""
    return await tx.conn.fetchval(LAST_ENDED)


async def begin(tx: Tx, id_: UUID, provider: str, since: datetime, until: datetime) -> None:
    """Write down that the books are opened."""
    await tx.conn.execute(BEGIN, id_, provider, since, until, tx.now)


async def lines(tx: Tx, provider: str, names: Sequence[str]) -> dict[tuple[str, EntryKind], BookLine]:
    """The ledger's lines of these names, by name and kind."""
    found = [BookLine(**dict(row)) for row in await tx.conn.fetch(LINES, provider, names)]
    return {(line.name, line.kind): line for line in found}


async def lines_between(tx: Tx, provider: str, since: datetime, until: datetime) -> list[BookLine]:
    """What the ledger says came and went between the two."""
    rows = await tx.conn.fetch(LINES_BETWEEN, provider, _first_id(since), _first_id(until))
    return [BookLine(**dict(row)) for row in rows]


async def existing(tx: Tx, payment_id: PaymentId | None) -> PaymentId | None:
    """The payment's id, if there is such a payment: books may name one that there never was."""
    found: UUID | None = await tx.conn.fetchval(EXISTING, payment_id)
    return PaymentId(found) if found else None


async def note(
    tx: Tx,
    *,
    provider: str,
    kind: Kind,
    reference: str,
    payment_id: PaymentId | None,
    ours_minor: int | None,
    theirs_minor: int | None,
    currency: str,
    mended: bool,
) -> None:
    """List a difference, or say that it was seen again."""
    await tx.conn.execute(
        NOTE,
        new_id(tx.now),
        provider,
        kind,
        reference,
        payment_id,
        ours_minor,
        theirs_minor,
        currency,
        tx.now,
        mended,
    )


async def end(tx: Tx, id_: UUID, provider: str, since: datetime, checked: int) -> int:
    """Close a look, and what agrees by now; how many differences are open."""
    await tx.conn.execute(GONE, provider, since, tx.now, id_)
    return int(await tx.conn.fetchval(END, id_, tx.now, checked) or 0)


async def differences(tx: Tx, before: str | None, limit: int, *, everything: bool) -> list[Difference]:
    """Differences, newest first."""
    rows = await tx.conn.fetch(DIFFERENCES, everything, UUID(before) if before else None, limit)
    return [Difference(**dict(row)) for row in rows]


async def count_open(tx: Tx) -> int:
    """How many differences are open."""
    return int(await tx.conn.fetchval(COUNT_OPEN))


def _first_id(at: datetime) -> UUID:
    """The least id that can have been made at this millisecond."""
    return UUID(int=int(at.timestamp() * 1000) << 80)
