"""The gateway's books against our ledger: what no webhook brought is entered, what does not agree is listed."""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from prometheus_client import Gauge

from server.core.errors import Invalid, NotFound
from server.core.ids import new_id
from server.core.models import Nothing
from server.core.settings import Settings
from server.core.tx import Run, Tx
from server.payments import book_queries
from server.payments.books_models import (
    BooksPage,
    BooksRead,
    Differences,
    Kind,
    ListDifferences,
    Reconcile,
    ReconciliationsBegun,
)
from server.payments.events import ReconciliationDue
from server.payments.gateway import Gateways
from server.payments.models import EntryKind, Report
from server.payments.webhook import find_order, take_report

log = logging.getLogger(__name__)
DIFFERENCES = Gauge("amrutam_payment_differences", "Open differences between the gateways' books and the ledger")
WINDOW = timedelta(days=3)
# What is younger may still be on its way as a webhook.
UNRIPE = timedelta(minutes=5)
# A try to pay can have begun, in the gateway's books, long before it was captured, in ours.
MARGIN = timedelta(days=1)
MISSING_HERE: dict[EntryKind, Kind] = {
    EntryKind.CAPTURED: "capture_not_here",
    EntryKind.REFUNDED: "refund_not_here",
    EntryKind.REFUND_FAILED: "refund_not_here",
}
MISSING_THERE: dict[EntryKind, Kind] = {
    EntryKind.CAPTURED: "capture_not_there",
    EntryKind.REFUNDED: "refund_not_there",
}


async def begin_reconciliations(tx: Tx, *, settings: Settings) -> bool:
    """The tick: let the worker look into every gateway's books whose last look is long enough ago."""
    if settings.reconcile_minutes > 0:
        pause = timedelta(minutes=settings.reconcile_minutes)
        for provider in with_books(settings):
            last = await book_queries.last_began(tx, provider)
            if last is None or last <= tx.now - pause:
                await _begin(tx, provider)
    return False


async def reconcile_now(tx: Tx, ask: Nothing, *, settings: Settings) -> ReconciliationsBegun:
    """Let the worker look into the books of every real gateway now."""
    del ask
    providers = with_books(settings)
    for provider in providers:
        await _begin(tx, provider)
    return ReconciliationsBegun(providers=providers)


def with_books(settings: Settings) -> list[str]:
    """The gateways that are set up and keep books."""
    keys = {"razorpay": settings.razorpay_key_secret, "stripe": settings.stripe_key}
    return [provider for provider, key in keys.items() if key is not None]


async def reconcile(run: Run, ask: Reconcile, *, gateways: Gateways) -> None:
    """The step that hears ReconciliationDue: read the books from end to end, mending and listing as it goes.

    Repeated, it finds what it mended and lists nothing twice. Raises GatewayAway, GatewayRefused.
    """
    pages = gateways[ask.provider].statement(ask.since, ask.until)
    if pages is None:
        return
    seen: list[str] = []
    async for reports in pages:
        seen += [_name(report) for report in reports]
        page = BooksPage(provider=ask.provider, reports=list(reports))
        for report in await run.read(not_in_ledger, page):
            await run(take_from_books, report)
        await run(compare_amounts, page)
    await run(end_reconciliation, BooksRead(**ask.model_dump(), seen=seen))


async def not_in_ledger(tx: Tx, page: BooksPage) -> list[Report]:
    """The reports of a page that no line of the ledger stands for."""
    lines = await book_queries.lines(tx, page.provider, [_name(report) for report in page.reports])
    return [report for report in page.reports if (_name(report), report.kind) not in lines]


async def take_from_books(tx: Tx, report: Report) -> None:
    """Enter what the gateway has and we have not, as if its webhook had come; list it, mended or not.

    Money of nobody that we know is listed and left alone.
    """
    order = report.order or await find_order(tx, report)
    mended = order is not None
    if order is not None:
        try:
            await take_report(tx, report)
        except (Invalid, NotFound):  # raised before anything is written: it is not what was ordered
            mended = False
    await book_queries.note(
        tx,
        provider=report.provider,
        kind=MISSING_HERE[report.kind],
        reference=_name(report),
        payment_id=await book_queries.existing(tx, order),
        ours_minor=None,
        theirs_minor=report.amount_minor,
        currency=report.currency,
        mended=mended,
    )


async def compare_amounts(tx: Tx, page: BooksPage) -> None:
    """List the lines that say another amount than the books do."""
    lines = await book_queries.lines(tx, page.provider, [_name(report) for report in page.reports])
    for report in page.reports:
        line = lines.get((_name(report), report.kind))
        if line is not None and line.amount_minor != report.amount_minor:
            await book_queries.note(
                tx,
                provider=page.provider,
                kind="amount",
                reference=_name(report),
                payment_id=line.payment_id,
                ours_minor=line.amount_minor,
                theirs_minor=report.amount_minor,
                currency=report.currency,
                mended=False,
            )


async def end_reconciliation(tx: Tx, ask: BooksRead) -> None:
    """List what we have and the gateway has not, close what agrees by now, and raise the alarm for the rest."""
    seen = set(ask.seen)
    for line in await book_queries.lines_between(tx, ask.provider, ask.since + MARGIN, ask.until - UNRIPE):
        if line.name not in seen:
            await book_queries.note(
                tx,
                provider=ask.provider,
                kind=MISSING_THERE[line.kind],
                reference=line.name,
                payment_id=line.payment_id,
                ours_minor=line.amount_minor,
                theirs_minor=None,
                currency=line.currency,
                mended=False,
            )
    found = await book_queries.end(tx, ask.id, ask.provider, ask.since, len(ask.seen))
    if found > 0:
        log.error("a gateway's books and ours differ", extra={"provider": ask.provider, "found": found})


async def list_differences(tx: Tx, ask: ListDifferences) -> Differences:
    """Where a gateway's books and ours differed, newest first; those that are open unless all are asked for."""
    found = await book_queries.differences(tx, ask.cursor, ask.limit + 1, everything=ask.all)
    page = found[: ask.limit]
    return Differences(
        items=page,
        next_cursor=page[-1].id.hex if len(found) > ask.limit else None,
        last_look_at=await book_queries.last_ended(tx),
    )


async def open_differences(tx: Tx) -> float:
    """How many differences are open: the figure for the metrics."""
    return float(await book_queries.count_open(tx))


async def _begin(tx: Tx, provider: str) -> None:
    until = tx.now - UNRIPE
    id_: UUID = new_id(tx.now)
    await book_queries.begin(tx, id_, provider, until - WINDOW, until)
    tx.emit(ReconciliationDue(id=id_, provider=provider, since=until - WINDOW, until=until))


def _name(report: Report) -> str:
    return report.refund or report.attempt
