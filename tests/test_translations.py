"""Every word that a page can say exists in Hindi, whole, with the places of its original; scripts included."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg  # pyright: ignore[reportUnknownVariableType]
from babel.messages.pofile import read_po

from web.rendering import TRANSLATIONS, translations

WEB = TRANSLATIONS.parent
KEYWORDS = {
    "_": None,
    "gettext": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
    "npgettext": ((1, "c"), 2, 3),
}
PLACE = re.compile(r"%\(\w+\)[sd]|\{\w+\}")
SCRIPTS = [WEB / "static/js/words.js", WEB / "static/js/call/words.js"]
Key = tuple[str | None, str]


def used() -> set[Key]:
    """What templates and modules say, by context and English sentence."""
    with (TRANSLATIONS / "babel.cfg").open() as file:
        # Babel does not say of what its mapping is made.
        mapping = cast("tuple[list[tuple[str, str]], dict[str, dict[str, Any]]]", parse_mapping_cfg(file))
    found: set[Key] = set()
    for _, _, message, _, context in extract_from_dir(WEB, *mapping, KEYWORDS):
        found.add((context, message if isinstance(message, str) else message[0]))
    return found


def catalogue() -> Catalog:
    """The Hindi catalogue as it is written."""
    with (TRANSLATIONS / "hi.po").open("rb") as file:
        return read_po(file, locale="hi")


def original_of(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def translations_of(message: Message) -> list[str]:
    return [message.string] if isinstance(message.string, str) else list(message.string or ())


def test_every_sentence_is_in_the_catalogue_and_no_other() -> None:
    known = {(message.context, original_of(message)) for message in catalogue() if message.id}
    assert used() - known == set()
    assert known - used() == set()


def test_no_sentence_is_untranslated_or_fuzzy() -> None:
    for message in catalogue():
        if message.id:
            assert not message.fuzzy, message.id
            assert all(translations_of(message)), message.id


def test_translations_keep_the_places_of_their_originals() -> None:
    for message in catalogue():
        if not message.id:
            continue
        originals = [message.id] if isinstance(message.id, str) else list(message.id)
        for original, text in zip(originals, translations_of(message), strict=True):
            # A number may be left out where it is one: the word says it.
            missing = set(PLACE.findall(original)) ^ set(PLACE.findall(text))
            assert missing <= ({"%(num)s"} if original is not originals[-1] else set()), message.id


def test_hindi_counts_as_cldr_does() -> None:
    hindi = translations("hi")
    assert [hindi.ngettext("One person is before you.", "%(num)s people are before you.", n) for n in (0, 1)] == [
        "आपसे पहले एक मरीज़ है।"
    ] * 2
    assert "%(num)s" in hindi.ngettext("One person is before you.", "%(num)s people are before you.", 2)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(WEB)))
def test_scripts_speak_hindi_with_the_same_places(path: Path) -> None:
    text = path.read_text()
    english, hindi = (_table(text, name) for name in ("ENGLISH", "HINDI"))
    assert english
    assert english.keys() == hindi.keys()
    for word, sentence in english.items():
        assert set(PLACE.findall(hindi[word])) == set(PLACE.findall(sentence)), word


def _table(text: str, name: str) -> dict[str, str]:
    begin = text.index(f"const {name} = {{")
    body = text[begin : text.index("\n};", begin)]
    return dict(re.findall(r'^  (\w+):\s*"(.*)",$', body, re.MULTILINE))
