"""Idempotency keys: one act a key, its reply kept with it, in the transaction of the act (SECURITY I1)."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from asyncpg import Record

from server.core.cipher import Cipher
from server.core.errors import Conflict, Invalid
from server.core.tx import IdempotencyKey, Tx

MOST_CHARACTERS = 200
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))

# `got` is the lock on the key's hash: a second INSERT of the same key would block, where this answers at once.
TAKE_KEY = """
    select pg_try_advisory_xact_lock(hashtextextended($1 || '|' || $2 || '|' || $3, 0)) as got,
           k.body_hash, k.status, k.reply
      from (select 1) as one
      left join idempotency_keys k on k.owner = $1 and k.route = $2 and k.key = $3
"""


class KeyMissing(Invalid):
    """This call needs an Idempotency-Key header of 1 to 200 characters, new for each act."""

    code = "idempotency-key-missing"
    title = "The Idempotency-Key is missing."


class KeyReused(Invalid):
    """This Idempotency-Key was used for another request."""

    code = "idempotency-key-reused"
    title = "This key belongs to another request."


class InFlight(Conflict):
    """The first request with this Idempotency-Key is still under way. Ask again in a second."""

    code = "in-flight"
    title = "The same request is still under way."


class Replay(Exception):
    """The key's act was done before: this is what it answered."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__("replayed")
        self.status = status
        self.body = body


def body_hash(ask: dict[str, Any]) -> bytes:
    """SHA-256 of the canonical request: sorted keys, no spaces."""
    return hashlib.sha256(_CANONICAL.encode(ask).encode()).digest()


async def take_key(tx: Tx, cipher: Cipher) -> None:
    """Take the transaction's key. Raises Replay, KeyReused or InFlight."""
    assert tx.key is not None
    row = await tx.conn.fetchrow(TAKE_KEY, tx.key.owner, tx.key.route, tx.key.key)
    assert row is not None
    judge(tx.key, row, cipher)


def judge(key: IdempotencyKey, row: Record, cipher: Cipher) -> None:
    """What a row with `got, body_hash, status, reply` means for the caller. Raises Replay, KeyReused or InFlight."""
    answer_again(key, row, cipher)
    if not row["got"]:
        raise InFlight(retry_after_seconds=1)


def answer_again(key: IdempotencyKey, row: Record, cipher: Cipher) -> None:
    """Give the reply that a row with `body_hash, status, reply` holds, if any. Raises Replay or KeyReused."""
    if row["reply"] is None:
        return
    if row["body_hash"] != key.body_hash:
        raise KeyReused
    raise Replay(row["status"], cipher.open_system("reply", row["reply"]))
