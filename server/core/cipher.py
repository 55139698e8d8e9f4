"""Encryption: AES-256-GCM under a data key per owner, wrapped by a key-encryption key (SECURITY K1-K5).

A sealed value is `1 | key id (4) | nonce (12) | ciphertext and tag`. Its associated data names table, column, row
and owner, so that a value moved elsewhere does not open. The system's own key (outbox payloads, room events, stored
replies) is derived from the key-encryption key; owners' keys lie wrapped in `data_keys`, and destroying one erases
all that it sealed.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from server.core.batches import Statement
from server.core.nonces import nonce
from server.core.settings import Settings

if TYPE_CHECKING:
    from server.core.tx import Tx

VERSION = b"\x01"
CACHED_SECONDS = 300
CACHED_KEYS = 10_000

LOAD_KEY = Statement("""
    select w.caller, k.*
      from unnest($1::uuid[]) with ordinality as w (owner_id, caller)
     cross join lateral (
        select wrapped, wrapped_by,
               xmin::text = (pg_current_xact_id_if_assigned()::text::bigint % 4294967296)::text as mine
          from data_keys d where d.owner_id = w.owner_id limit 1
     ) k
""")
# Says itself who acts: in an operation that acts at once it is a transaction of its own.
SAVE_KEY = """
    with act as materialized (select set_config('amrutam.tx', $5, true))
    insert into data_keys (owner_id, wrapped, wrapped_by, created_at) select $1, $2, $3, $4 from act
    on conflict (owner_id) do nothing
"""


class Unreadable(Exception):
    """A sealed value that does not open here: moved, changed, or sealed under an unknown key."""


class Erased(Unreadable):
    """The owner's data key was destroyed: what it sealed is gone for good."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value stands."""

    table: str
    column: str
    row: UUID

    def associated(self, owner: UUID | None) -> bytes:
        return f"amrutam/v1|{self.table}|{self.column}|{self.row}|{owner or 'system'}".encode()


@dataclass(frozen=True, slots=True)
class _DataKey:
    plain: bytes
    cipher: AESGCM
    id: bytes
    until: float
    """Until when it may be used without a look whether it still exists, in seconds of the monotonic clock."""


class Cipher:
    """Seals and opens; keeps plain data keys for five minutes at most, in this process only."""

    def __init__(self, settings: Settings) -> None:
        current = _derive(settings.key_encryption_key.get_secret_value(), b"amrutam key-encryption key")
        old = [
            _derive(key.get_secret_value(), b"amrutam key-encryption key") for key in settings.old_key_encryption_keys
        ]
        self._keks = {_key_id(key): key for key in (*old, current)}
        self._current = _key_id(current)
        self._system = {_key_id(key): AESGCM(_derive_bytes(key, b"amrutam system key")) for key in self._keks.values()}
        secret = settings.secret.get_secret_value()
        self._index = _derive(secret, b"amrutam blind index")
        self._signing = HMAC(_derive(secret, b"amrutam envelope"), hashes.SHA256())
        self._data_keys: OrderedDict[UUID, _DataKey] = OrderedDict()

    async def seal(self, tx: Tx, owner: UUID, place: Place, text: str) -> bytes:
        """Seal a text under its owner's data key, made at first use."""
        key = await self._key(tx, owner, make=True)
        return _seal(key.cipher, key.id, text.encode(), place.associated(owner))

    async def open(self, tx: Tx, owner: UUID, place: Place, sealed: bytes) -> str:
        """Open a sealed text. Raises Erased when the owner's key is gone, Unreadable when it does not fit."""
        key = await self._key(tx, owner, make=False)
        return _open(key.cipher, sealed, place.associated(owner)).decode()

    async def file_key(self, tx: Tx, owner: UUID, object_name: str) -> bytes:
        """A key for one stored object alone, derived from its owner's data key: erased with it.

        Raises Erased when the owner's key is gone.
        """
        key = await self._key(tx, owner, make=True)
        return _derive_bytes(key.plain, f"amrutam object|{object_name}".encode())

    def seal_system(self, what: str, plain: bytes) -> bytes:
        """Seal bytes of the house's own plumbing under the system key; `what` is bound to them."""
        return _seal(self._system[self._current], self._current, plain, f"amrutam/v1|{what}|system".encode())

    def open_system(self, what: str, sealed: bytes) -> bytes:
        """Open what seal_system sealed. Raises Unreadable."""
        cipher = self._system.get(sealed[1:5])
        if cipher is None:
            raise Unreadable("sealed under a key that is not here")
        return _open(cipher, sealed, f"amrutam/v1|{what}|system".encode())

    def blind(self, kind: str, normalised: str) -> bytes:
        """A keyed hash for look-ups (e-mail, phone): 16 bytes of HMAC-SHA-256."""
        return hmac.digest(self._index, f"{kind}|{normalised}".encode(), hashlib.sha256)[:16]

    def sign(self, message: bytes) -> bytes:
        """16 bytes that prove a message on a Redis channel is ours."""
        signing = self._signing.copy()  # the key is prepared once: hmac.digest takes five times as long
        signing.update(message)
        return signing.finalize()[:16]

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Whether sign() made this signature."""
        return hmac.compare_digest(self.sign(message), signature)

    def forget(self, owner: UUID) -> None:
        """Drop a plain data key from memory (after its destruction)."""
        self._data_keys.pop(owner, None)

    async def _key(self, tx: Tx, owner: UUID, *, make: bool) -> _DataKey:
        held = self._data_keys.get(owner)
        if held is not None and held.until > time.monotonic():
            return held
        rows = await tx.ask(LOAD_KEY, (owner,))
        if not rows:
            if not make:
                raise Unreadable("there is no key for this owner")
            fresh = AESGCM.generate_key(256)
            conn = await tx.connect()
            await conn.execute(SAVE_KEY, owner, self._wrap(fresh, owner), self._current.hex(), tx.now, tx.act)
            rows = await tx.ask(LOAD_KEY, (owner,))
        [row] = rows
        if row["wrapped"] is None:
            raise Erased("this owner's data was erased")
        plain = self._unwrap(row["wrapped"], bytes.fromhex(row["wrapped_by"]), owner)
        key = _DataKey(plain, AESGCM(plain), _key_id(plain), time.monotonic() + CACHED_SECONDS)
        if not row["mine"]:  # a key of this very transaction may yet be rolled back: remember committed ones only
            self._remember(owner, key)
        return key

    def _remember(self, owner: UUID, key: _DataKey) -> None:
        self._data_keys[owner] = key
        self._data_keys.move_to_end(owner)
        while len(self._data_keys) > CACHED_KEYS:
            self._data_keys.popitem(last=False)

    def _wrap(self, key: bytes, owner: UUID) -> bytes:
        return _seal(AESGCM(self._keks[self._current]), self._current, key, f"amrutam/v1|data key|{owner}".encode())

    def _unwrap(self, wrapped: bytes, wrapped_by: bytes, owner: UUID) -> bytes:
        kek = self._keks.get(wrapped_by)
        if kek is None:
            raise Unreadable("wrapped by a key-encryption key that is not here")
        return _open(AESGCM(kek), wrapped, f"amrutam/v1|data key|{owner}".encode())


def _seal(cipher: AESGCM, key_id: bytes, plain: bytes, associated: bytes) -> bytes:
    once = nonce()
    return VERSION + key_id + once + cipher.encrypt(once, plain, VERSION + key_id + associated)


def _open(cipher: AESGCM, sealed: bytes, associated: bytes) -> bytes:
    if len(sealed) < 33 or sealed[:1] != VERSION:
        raise Unreadable("this is no sealed value")
    try:
        return cipher.decrypt(sealed[5:17], sealed[17:], sealed[:5] + associated)
    except InvalidTag:
        raise Unreadable("this value was changed, or moved from where it was sealed") from None


def _derive(secret: str, purpose: bytes) -> bytes:
    return _derive_bytes(secret.encode(), purpose)


def _derive_bytes(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"amrutam key id|" + key).digest()[:4]
