"""What the page of operations shows administrators."""

# No `from __future__ import annotations`: pydantic needs the types themselves.

from realtime import Operations
from web.views import View


class AdminOperationsView(View):
    """`/admin/operations`: what goes on right now; its room keeps the numbers true."""

    operations: Operations
    room: str
