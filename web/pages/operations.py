"""The page of operations, for administrators: what goes on right now, in numbers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from realtime import OPS, Operations
from server.core.models import Nothing
from server.core.routes import Route, as_admin, get, page
from server.core.tx import Tx
from web.operations_views import AdminOperationsView

Look = Callable[[Tx], Awaitable[Operations]]


async def show_operations(tx: Tx, ask: Nothing, *, look: Look) -> AdminOperationsView:
    """The numbers as of now."""
    del ask
    return AdminOperationsView(operations=await look(tx), room=OPS.of())


def routes(look: Look) -> list[Route]:
    """The page."""
    show = partial(show_operations, look=look)
    return [get("/admin/operations", show, access=as_admin, reply=page("staff/operations.html"))]
