"""What a search compares: text without case, without accents on Latin letters, Indian scripts whole."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from server.doctors.languages import LANGUAGE_NAMES


def plain_words(text: str) -> str:
    """The form in which texts are compared. Marks are dropped after Latin letters only: Devanagari's are vowels."""
    kept: list[str] = []
    latin = False
    for character in unicodedata.normalize("NFKD", text.casefold()):
        if unicodedata.combining(character):
            if not latin:
                kept.append(character)
            continue
        latin = character.isascii() or unicodedata.name(character, "").startswith("LATIN")
        kept.append(character)
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


def search_text(name: str, specialty: str, languages: Sequence[str], about: str) -> str:
    """All that a doctor is found by."""
    spoken = " ".join(part for code in languages for part in LANGUAGE_NAMES.get(code, (code,)))
    return plain_words(f"{name} {specialty} {spoken} {about}")


def patterns(query: str) -> list[str]:
    """One LIKE pattern a word of a query: all must be found, in any order."""
    escaped = plain_words(query).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return [f"%{word}%" for word in escaped.split()]
