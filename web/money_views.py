"""What the page about money shows administrators."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from web.views import Form, Item


class DifferenceItem(Item):
    """One thing that a gateway's books and the ledger say differently."""

    id: UUID
    provider: str
    kind: str
    reference: str
    payment_id: UUID | None = None
    ours_minor: int | None = None
    theirs_minor: int | None = None
    currency: str | None = None
    found_at: datetime
    repaired_at: datetime | None = None
    gone_at: datetime | None = None


class AdminPaymentsView(Form):
    """`/admin/payments`: where the gateways' books and the ledger differ."""

    differences: Sequence[DifferenceItem]
    last_look_at: datetime | None = None
    everything: bool = False
    has_books: bool = False
    next_url: str | None = None
