"""SQL of a late payment: a step back within the transaction, for what a constraint may refuse."""

from __future__ import annotations

from server.core.tx import Tx

MARK = "savepoint before_the_slot"
STEP_BACK = "rollback to savepoint before_the_slot"


async def mark(tx: Tx) -> None:
    """Remember how things are now."""
    await tx.conn.execute(MARK)


async def step_back(tx: Tx) -> None:
    """Undo what was done since, and the refusal that made the transaction useless; what was emitted is not undone."""
    await tx.conn.execute(STEP_BACK)
