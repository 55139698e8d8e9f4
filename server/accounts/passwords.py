"""Passwords: argon2id in two threads with a bounded queue, and what a new one must not be (SECURITY A1-A3)."""

from __future__ import annotations

import asyncio
import functools
import gzip
import re
import secrets
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Annotated, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError
from pydantic import AfterValidator, StringConstraints

from server.core.errors import FieldError, Invalid, Unavailable
from server.core.privacy import Level

R = TypeVar("R")
WORKERS = 2
QUEUE = 32
LEAST = 10
MOST = 128
# What must be left of a password once the words that anybody would guess are taken out.
LEAST_OWN = 6
_HOUSE_WORDS = ("amrutam", "telemedicine", "password", "passwort")


def _nfc(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not hold half a character") from None
    return unicodedata.normalize("NFC", text)


Password = Annotated[str, StringConstraints(min_length=1, max_length=4 * MOST), AfterValidator(_nfc), Level.CRITICAL]


class Passwords:
    """Hashes and verifies off the loop. Each hash takes 19 MiB, so only two run at once and 32 wait."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, type=Type.ID)
        self._threads = ThreadPoolExecutor(WORKERS, thread_name_prefix="argon2")
        self._busy = 0
        # Verified when there is no account: as slow as a real one, and right for no password.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """The PHC string to store. Raises Unavailable when too many wait."""
        return await self._off_the_loop(lambda: self._hasher.hash(password))

    async def hash_all(self, codes: Sequence[str]) -> list[str]:
        """The PHC strings of several codes, one after the other in one thread."""
        return await self._off_the_loop(lambda: [self._hasher.hash(code) for code in codes])

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits; None (no account, or none set yet) takes the same time and never fits."""
        fits = await self._off_the_loop(lambda: self._fits(stored or self._nobody, password))
        return fits and stored is not None

    async def which(self, stored: Sequence[str], code: str) -> int | None:
        """The index of the hash that a code fits; None if none does."""
        return await self._off_the_loop(
            lambda: next((index for index, phc in enumerate(stored) if self._fits(phc, code)), None)
        )

    def is_outdated(self, stored: str) -> bool:
        """Whether a stored hash has other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _fits(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _off_the_loop(self, work: Callable[[], R]) -> R:
        if self._busy >= WORKERS + QUEUE:
            raise Unavailable("Too many people are signing in at once.", retry_after_seconds=2)
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._busy -= 1


def refuse_weak(password: str, *own_words: str, field: str = "password") -> None:
    """Refuse a new password that is short, long, widely known, or made of the account's own words. Raises Invalid."""
    plain = password.casefold()
    if len(password) < LEAST:
        problem = ("too-short", f"Use at least {LEAST} characters.")
    elif len(password) > MOST:
        problem = ("too-long", f"Use at most {MOST} characters.")
    elif plain in common_passwords() or len(set(plain)) < 4:
        problem = ("common", "Too many people use this password.")
    elif _without(plain, own_words) < LEAST_OWN:
        problem = ("own-words", "This is made of your name, your address or ours.")
    else:
        return
    raise Invalid(errors=[FieldError(field=field, code=problem[0], message=problem[1])])


@functools.cache
def common_passwords() -> frozenset[str]:
    """The 20,000 best known passwords that are long enough for us."""
    packed = resources.files("server.accounts").joinpath("common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode().split("\n"))


def _without(plain: str, own_words: Sequence[str]) -> int:
    """How many letters and digits are left without the words that anybody would try first."""
    words = [*_HOUSE_WORDS]
    for text in own_words:
        words += [part for part in re.split(r"[\W_]+", text.casefold()) if len(part) >= 4]
    for word in sorted(words, key=len, reverse=True):
        plain = plain.replace(word, "")
    return sum(character.isalnum() for character in plain)
