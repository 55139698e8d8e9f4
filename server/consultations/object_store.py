"""Where files are kept: by a random name, sealed in pieces under a key of their own, in a folder all servers share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.core.cipher import Unreadable
from server.core.errors import Unavailable
from server.core.settings import Settings

PIECE = 64 * 1024
TAG = 16
VERSION = b"\x01"
_NAME = re.compile(r"[0-9a-f]{32}")


class NothingIsKept(Unavailable):
    """This server has no place to keep files."""

    code = "no-files"
    title = "Files cannot be sent here."


class ObjectStore(Protocol):
    """Keeps bytes by name. A bucket of an object store does as well as a folder."""

    async def put(self, name: str, content: bytes) -> None:
        """Keep bytes that outlive a power cut; the same name again replaces them."""
        ...

    async def get(self, name: str) -> bytes:
        """The bytes. Raises FileNotFoundError."""
        ...

    async def drop(self, name: str) -> None:
        """Forget them; again changes nothing."""
        ...


class FolderStore:
    """A folder: one file an object, spread over 256 folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def put(self, name: str, content: bytes) -> None:
        await asyncio.to_thread(self._write, self._path(name), content)

    async def get(self, name: str) -> bytes:
        return await asyncio.to_thread(self._path(name).read_bytes)

    async def drop(self, name: str) -> None:
        await asyncio.to_thread(self._path(name).unlink, missing_ok=True)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ValueError("this is no name of an object")
        return self._folder / name[:2] / name

    def _write(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with beside.open("xb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                beside.unlink()


def open_store(settings: Settings) -> ObjectStore:
    """The store of these settings. Raises NothingIsKept where none is named."""
    if settings.objects_dir is None:
        raise NothingIsKept
    return FolderStore(settings.objects_dir)


def new_name() -> str:
    """A name that tells nothing."""
    return secrets.token_hex(16)


def seal_pieces(key: bytes, name: str, content: bytes) -> bytes:
    """Seal a file in pieces of 64 kB. `key` seals this one object only, so pieces count their nonces from 0.

    The last piece says that it is: what was cut off, put in another order or under another name does not open.
    """
    cipher = AESGCM(key)
    count = max(1, -(-len(content) // PIECE))
    sealed = [
        cipher.encrypt(_nonce(number, count), content[number * PIECE : (number + 1) * PIECE], VERSION + name.encode())
        for number in range(count)
    ]
    return VERSION + b"".join(sealed)


def open_pieces(key: bytes, name: str, sealed: bytes) -> bytes:
    """Open what seal_pieces sealed. Raises Unreadable."""
    if sealed[:1] != VERSION:
        raise Unreadable("this is no sealed file")
    cipher = AESGCM(key)
    body = memoryview(sealed)[1:]
    count = max(1, -(-len(body) // (PIECE + TAG)))
    try:
        return b"".join(
            cipher.decrypt(
                _nonce(number, count),
                body[number * (PIECE + TAG) : (number + 1) * (PIECE + TAG)],
                VERSION + name.encode(),
            )
            for number in range(count)
        )
    except InvalidTag:
        raise Unreadable("this file was changed, cut off or moved") from None


def _nonce(number: int, count: int) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if number == count - 1 else b"\x00")
