"""Templates to HTML: the Jinja environment with its languages, filters and globals, and the frame around each page."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel

from web import filters, words
from web.frame import Frame

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
TRANSLATIONS = HERE / "translations"
LANGUAGES: Mapping[str, str] = {"en": "English", "hi": "हिन्दी"}


class Pages:
    """Renders pages. One a process: it holds the compiled templates of each language."""

    def __init__(self) -> None:
        self._environments = {language: _environment(language) for language in LANGUAGES}

    def render(self, template: str, view: BaseModel | Mapping[str, object], frame: Frame) -> str:
        """The HTML of a page: the template sees the view's fields by name, `view` itself, and `frame`."""
        fields = _fields(view)
        page = self._environments[frame.language].get_template(template)
        return page.render({**fields, "view": view, "frame": frame})


def translations(language: str) -> Translations:
    """The catalogue of a language, read from its .po into memory; English is the originals themselves."""
    path = TRANSLATIONS / f"{language}.po"
    if not path.exists():
        return Translations()
    with path.open("rb") as file:
        read = read_po(file, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, read)
    compiled.seek(0)
    return Translations(compiled)


def _fields(view: BaseModel | Mapping[str, object]) -> dict[str, object]:
    if isinstance(view, BaseModel):
        return {name: getattr(view, name) for name in type(view).model_fields}
    return dict(view)


def _environment(language: str) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    catalogue = translations(language)
    # The extension adds this method, which no type knows.
    install = cast("Callable[..., None]", vars(environment)["install_gettext_callables"])
    install(
        catalogue.gettext,
        catalogue.ngettext,
        newstyle=True,
        pgettext=catalogue.pgettext,
        npgettext=catalogue.npgettext,
    )
    environment.policies["ext.i18n.trimmed"] = True
    cast("dict[str, object]", environment.filters).update(filters.FILTERS)
    cast("dict[str, object]", environment.globals).update(
        filters.GLOBALS, LANGUAGES=LANGUAGES, specialties=words.SPECIALTIES
    )
    return environment
