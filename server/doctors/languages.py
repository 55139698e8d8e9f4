"""Languages that doctors speak: codes in the API, English and own names for searching and showing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from server.core.privacy import Level

LANGUAGE_NAMES: Mapping[str, tuple[str, str]] = {
    "as": ("Assamese", "অসমীয়া"),
    "bn": ("Bengali", "বাংলা"),
    "en": ("English", "English"),
    "gu": ("Gujarati", "ગુજરાતી"),
    "hi": ("Hindi", "हिन्दी"),
    "kn": ("Kannada", "ಕನ್ನಡ"),
    "ks": ("Kashmiri", "کٲشُر"),
    "kok": ("Konkani", "कोंकणी"),
    "mai": ("Maithili", "मैथिली"),
    "ml": ("Malayalam", "മലയാളം"),
    "mr": ("Marathi", "मराठी"),
    "ne": ("Nepali", "नेपाली"),
    "or": ("Odia", "ଓଡ଼ିଆ"),
    "pa": ("Punjabi", "ਪੰਜਾਬੀ"),
    "sa": ("Sanskrit", "संस्कृतम्"),
    "sd": ("Sindhi", "سنڌي"),
    "ta": ("Tamil", "தமிழ்"),
    "te": ("Telugu", "తెలుగు"),
    "ur": ("Urdu", "اردو"),
}
_CODES = {name.casefold(): code for code, names in LANGUAGE_NAMES.items() for name in names}


def language_code(text: str) -> str:
    """The code of a language given by code or name; what we do not know stays as it is, lower case."""
    plain = text.strip().casefold()
    return plain if plain in LANGUAGE_NAMES else _CODES.get(plain, plain)


def _known(text: str) -> str:
    code = language_code(text)
    if code not in LANGUAGE_NAMES:
        raise ValueError("must be a code of a language we know, as hi")
    return code


LanguageCode = Annotated[str, StringConstraints(max_length=40), AfterValidator(_known), Level.PUBLIC]
