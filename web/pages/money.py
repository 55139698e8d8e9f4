"""The page about money, for administrators: what the gateways' books and the ledger say differently."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from pydantic import StringConstraints

from server.core.edge.bodies import build
from server.core.errors import Invalid
from server.core.models import Ask, Nothing
from server.core.privacy import Level
from server.core.routes import Route, SeeOther, as_admin, form, get, page, post, redirect
from server.core.settings import Settings
from server.core.tx import Tx
from server.payments import ListDifferences, list_differences, reconcile_now, with_books
from web.money_views import AdminPaymentsView, DifferenceItem

PATH = "/admin/payments"


class ShowDifferences(Ask):
    """Whether all are shown, and the cursor."""

    all: bool = False
    cursor: Annotated[str, StringConstraints(max_length=64), Level.PUBLIC] = ""


async def show_differences(tx: Tx, ask: ShowDifferences, *, settings: Settings) -> AdminPaymentsView:
    """The open differences, newest first; all that there ever were when asked."""
    try:
        wanted = build(ListDifferences, {"all": ask.all, **({"cursor": ask.cursor} if ask.cursor else {})})
    except Invalid:  # no cursor of ours: from the beginning
        wanted = ListDifferences(all=ask.all)
    listed = await list_differences(tx, wanted)
    more = f"{PATH}?all={'true' if ask.all else 'false'}&cursor={listed.next_cursor}"
    return AdminPaymentsView(
        differences=[DifferenceItem.model_validate(item) for item in listed.items],
        last_look_at=listed.last_look_at,
        everything=ask.all,
        has_books=bool(with_books(settings)),
        next_url=more if listed.next_cursor else None,
    )


async def look_now(tx: Tx, ask: Nothing, *, settings: Settings) -> SeeOther:
    """The button: let the worker look into the books."""
    await reconcile_now(tx, ask, settings=settings)
    return SeeOther(location=PATH)


def routes(settings: Settings) -> list[Route]:
    """The page and its button."""
    return [
        get(PATH, partial(show_differences, settings=settings), access=as_admin, reply=page("staff/payments.html")),
        post(PATH, partial(look_now, settings=settings), access=as_admin, body=form, reply=redirect),
    ]
