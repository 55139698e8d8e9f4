"""Reconciliation: a gateway's books are due to be read -> what no webhook brought is entered, the rest is listed."""

from __future__ import annotations

from server.core.tx import Run
from server.payments import Gateways, Reconcile, ReconciliationDue, reconcile
from worker.registry import on


@on(ReconciliationDue)
async def read_the_books(run: Run, event: ReconciliationDue, *, gateways: Gateways) -> None:
    """Read them from end to end; a gateway that is away is asked again."""
    ask = Reconcile(id=event.id, provider=event.provider, since=event.since, until=event.until)
    await reconcile(run, ask, gateways=gateways)
