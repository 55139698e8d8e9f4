"""A prescription as paper: one sheet of facts in, an A4 PDF with shaped text, tags and a code to check it by out."""

from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Annotated, Literal

import segno
import typst
from babel.dates import format_datetime
from pydantic import Field

from server.core.models import Instant, Line, Model, Name, Prose, TimeZone, Token, zone
from server.core.privacy import Level
from server.prescriptions.sheet.words import EN, HI, Words

log = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "sheet"
_WORDS = {"en": EN, "hi": HI}
# India's own forms, in digits that a chemist anywhere reads.
_LOCALES = {"en": "en_IN", "hi": "hi_IN"}


class Medicine(Model):
    """One line of the prescription, as the doctor wrote it. `days` is None for "as needed" or "goes on"."""

    name: Line
    dose: Line
    frequency: Line
    days: Annotated[int, Field(ge=1, le=999)] | None = None
    instruction: Prose | None = None


class PrescriptionSheet(Model):
    """Everything that the paper says, in the language of the one who reads it. What is None is left out."""

    language: Annotated[Literal["en", "hi"], Level.PUBLIC] = "en"
    clinic: Annotated[Line, Level.PUBLIC]
    doctor_name: Annotated[Name, Level.PUBLIC]
    registration_number: Annotated[Line, Level.PUBLIC]
    specialty: Annotated[Line, Level.PUBLIC]
    patient_name: Annotated[Name, Level.SENSITIVE]
    age: Annotated[int, Field(ge=0, le=150), Level.SENSITIVE] | None = None
    sex: Annotated[Literal["female", "male", "other", "unknown"], Level.SENSITIVE] | None = None
    issued_at: Instant
    time_zone: TimeZone
    complaints: Prose | None = None
    diagnosis: Prose | None = None
    allergies: Prose | None = None
    medicines: tuple[Medicine, ...] = ()
    advice: Prose | None = None
    follow_up: Prose | None = None
    code: Token
    verify_url: Annotated[str, Field(min_length=1, max_length=500)]
    consultation_number: Line


async def typeset(sheet: PrescriptionSheet) -> bytes:
    """The sheet as a PDF. The same sheet gives the same bytes, so they can be signed and compared.

    Runs on one thread beside the event loop, in turn, about 10 ms a sheet. The file is PDF/UA-1, unless it holds a
    character that none of our fonts has (an emoji in a name): then that character is a box, and the file untagged
    for that standard, which is better than no prescription.
    """
    data = json.dumps(_printed(sheet), ensure_ascii=False)
    return await asyncio.get_running_loop().run_in_executor(_press(), _compile, data)


@cache
def _press() -> ThreadPoolExecutor:
    # One thread, because a typst compiler belongs to the thread that uses it; it lets the interpreter's lock go.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="prescription")


@cache
def _compiler() -> typst.Compiler:
    return typst.Compiler(
        str(_FOLDER / "prescription.typ"),
        root=str(_FOLDER),
        font_paths=[str(_FOLDER / "fonts")],
        ignore_system_fonts=True,
    )


def _compile(data: str) -> bytes:
    inputs = {"sheet": data}
    try:
        return _pdf(_compiler().compile(format="pdf", sys_inputs=inputs, pdf_standards=["ua-1"]))
    except typst.TypstError as error:
        if "could not be displayed with font" not in error.message:
            raise
    # The message quotes the text, so it is not logged.
    log.warning("prescription set without PDF/UA: a character is in none of the fonts")
    return _pdf(_compiler().compile(format="pdf", sys_inputs=inputs))


def _pdf(compiled: object) -> bytes:
    assert isinstance(compiled, bytes)
    return compiled


def _printed(sheet: PrescriptionSheet) -> dict[str, object]:
    """What the typst source prints: every text ready in the reader's language."""
    words = _WORDS[sheet.language]
    return {
        **sheet.model_dump(mode="json", exclude={"medicines", "age", "sex", "issued_at", "time_zone"}),
        "words": words.model_dump(),
        "registration": words.registration.format(sheet.registration_number),
        "age_and_sex": _age_and_sex(sheet, words),
        "issued": _moment(sheet.issued_at, sheet.time_zone, sheet.language),
        "medicines": [m.model_dump() | {"duration": _duration(m, words)} for m in sheet.medicines],
        "qr": _qr(sheet.verify_url),
        "qr_says": words.qr.format(sheet.code),
    }


def _age_and_sex(sheet: PrescriptionSheet, words: Words) -> str:
    parts = [words.years.format(sheet.age)] if sheet.age is not None else []
    if sheet.sex not in (None, "unknown"):
        parts.append(words.sexes[sheet.sex])
    return ", ".join(parts) or words.not_given


def _duration(medicine: Medicine, words: Words) -> str:
    match medicine.days:
        case None:
            return "–"
        case 1:
            return words.one_day
        case days:
            return words.days.format(days)


def _moment(at: datetime, time_zone: str, language: str) -> str:
    there = at.astimezone(zone(time_zone))
    moment = format_datetime(there, "d MMM y, HH:mm", tzinfo=there.tzinfo, locale=_LOCALES[language])
    # CLDR has no short name for most zones; the zone's own is known where it is used, and often just an offset.
    name = there.tzname() or ""
    return f"{moment} {name if name.isalpha() else f'UTC{there.isoformat()[-6:]}'}"


def _qr(url: str) -> str:
    svg = BytesIO()
    segno.make_qr(url, error="m").save(svg, kind="svg", xmldecl=False, border=0, dark="#14241f", nl=False)
    return svg.getvalue().decode()
