"""A prescription as paper: what is written reads back, in Hindi too, whole on every page, and nothing stops it."""

from __future__ import annotations

import ctypes
import re
from datetime import UTC, datetime
from typing import Any

import pypdfium2 as pdfium
import pytest
import zxingcpp

from server.prescriptions.paper import Medicine, PrescriptionSheet, typeset

P1_WORDS = ["सुविधा", "नमस्ते", "दुनिया", "प्रथम", "मुचुल्का", "श्रीमती", "क्षत्रिय", "₹ 500"]
CONJUNCTS = "प्रिस्क्रिप्शन क्लिनिक श्री कृष्णमूर्ति स्त्री विद्यार्थी क्षमा त्रिफला ज्ञान बुद्धि ब्रह्म चिट्ठी हृदय रूप"


def a_sheet(**changed: object) -> PrescriptionSheet:
    facts: dict[str, Any] = {
        "clinic": "Amrutam Clinic",
        "doctor_name": "Dr. Meera Rao",
        "registration_number": "KMC 00482-D",
        "specialty": "General medicine",
        "patient_name": "Asha Verma",
        "age": 34,
        "sex": "female",
        "issued_at": datetime(2026, 11, 24, 20, 39, tzinfo=UTC),
        "time_zone": "Asia/Kolkata",
        "complaints": "Cough for a week.",
        "diagnosis": "Acute bronchitis.",
        "medicines": (Medicine(name="AMBROXOL syrup", dose="10 ml", frequency="after food", days=5),),
        "advice": "Warm water.\nRest.",
        "follow_up": "In 14 days.",
        "code": "7K2M-Q9XD",
        "verify_url": "https://clinic.example.org/verify/7K2M-Q9XD",
        "consultation_number": "AM-2026-004182",
    }
    return PrescriptionSheet.model_validate(facts | changed)


async def pages_of(sheet: PrescriptionSheet) -> list[str]:
    """The text of each page as a reader copies it, every break and run of spaces one space."""
    paper = pdfium.PdfDocument(await typeset(sheet))
    return [" ".join(page.get_textpage().get_text_range().split()) for page in paper]


async def test_the_paper_says_who_for_whom_what_and_that_it_was_a_teleconsultation() -> None:
    (text,) = await pages_of(a_sheet(allergies="Penicillin"))
    for said in (
        *("Dr. Meera Rao", "Registration no. KMC 00482-D", "General medicine", "Amrutam Clinic"),
        *("Asha Verma", "34 years, female", "25 Nov 2026, 02:09 IST", "AM-2026-004182"),
        *("Cough for a week.", "Acute bronchitis.", "Allergies: Penicillin"),
        *("1. AMBROXOL syrup 10 ml after food 5 days", "Warm water. Rest.", "In 14 days."),
        *("7K2M-Q9XD", "https://clinic.example.org/verify/7K2M-Q9XD", "Signed electronically, 25 Nov 2026, 02:09 IST"),
        *("written in a teleconsultation", "Page 1 of 1"),
    ):
        assert said in text


async def test_hindi_reads_back_as_it_was_written() -> None:
    sentence = "सीढ़ियाँ चढ़ने पर हफ़्ते से सीने में दर्द।"
    (text,) = await pages_of(
        a_sheet(
            language="hi",
            patient_name="श्रीमती कमला क्षत्रिय",
            complaints=" ".join(P1_WORDS),
            diagnosis=sentence,
            advice=CONJUNCTS,
        )
    )
    for said in (*P1_WORDS, " ".join(P1_WORDS), CONJUNCTS, sentence, "श्रीमती कमला क्षत्रिय"):
        assert said in text
    for said in ("नुस्ख़ा", "34 वर्ष, महिला", "25 नव॰ 2026, 02:09 IST", "5 दिन", "टेलीपरामर्श में लिखा गया", "पृष्ठ 1 / 1"):
        assert said in text
    assert not re.search("[०-९]", text)


async def test_twenty_five_medicines_and_a_long_instruction_lose_nothing() -> None:
    long = " ".join(f"word{n:03}" for n in range(63))[:500]
    unbroken = "y" * 500
    medicines = tuple(
        Medicine(
            name=f"MEDICINE-{n} tablet {n} mg",
            dose="1 tablet",
            frequency="three times a day, before food",
            days=n,
            instruction={7: long, 11: unbroken}.get(n),
        )
        for n in range(1, 26)
    )
    pages = await pages_of(a_sheet(medicines=medicines))
    whole = " ".join(pages)
    assert len(pages) > 1
    for medicine in medicines:
        assert f"{medicine.name} 1 tablet three times a day, before food" in whole
    assert long in whole
    assert whole.count("y") - whole.replace("y" * 4, "").count("y") == 500
    for number, page in enumerate(pages, 1):
        for carried in ("Asha Verma", "Dr. Meera Rao", "KMC 00482-D", "7K2M-Q9XD", f"Page {number} of {len(pages)}"):
            assert carried in page
    assert "Signed electronically" in pages[-1]
    assert "Signed electronically" not in " ".join(pages[:-1])


async def test_nothing_is_set_outside_the_paper() -> None:
    word = "Donaudampfschifffahrtsgesellschaft" * 3
    sheet = a_sheet(
        patient_name=word,
        doctor_name=word,
        clinic=word,
        specialty=word,
        registration_number=word,
        consultation_number=word,
        complaints=word * 4,
        allergies=word,
        medicines=(Medicine(name=word, dose=word, frequency=word, days=1, instruction=word * 4),),
    )
    for page in pdfium.PdfDocument(await typeset(sheet)):
        width, height = page.get_size()
        text: Any = page.get_textpage()  # pypdfium2's boxes and bitmaps have no types
        for n in range(text.count_chars()):
            left, bottom, right, top = text.get_charbox(n)
            assert 0 <= left <= right <= width - 40
            assert 0 <= bottom <= top <= height


async def test_a_four_thousand_character_instruction_runs_over_pages() -> None:
    long = " ".join(f"w{n:04}" for n in range(660))
    medicines = (Medicine(name="A", dose="1", frequency="daily", instruction=long),)
    pages = await pages_of(a_sheet(medicines=medicines, advice=long))
    found = re.findall(r"w\d{4}", " ".join(pages))
    assert found == [f"w{n:04}" for n in range(660)] * 2


@pytest.mark.parametrize("name", ["Asha 🌷", "நந்தினி", "ನಂದಿನಿ", "Łukasz Żółć", "Nguyễn", "O’Brien", "K", "漢字"])
async def test_no_name_stops_a_prescription(name: str) -> None:
    (text,) = await pages_of(a_sheet(patient_name=name))
    assert "AMBROXOL syrup" in text
    if name not in ("Asha 🌷", "漢字"):
        assert name in text


async def test_markup_comes_out_as_it_was_written() -> None:
    written = (
        '#panic("x") *bold* _it_ $x^2$ `raw` <label> @ref \\ // no /* comment */ [b] = head {} {0} https://x.org/a'
    )
    (text,) = await pages_of(a_sheet(complaints=None, diagnosis=None, advice=written, patient_name="{} #it *a*"))
    assert written in text
    assert "{} #it *a*" in text


async def test_the_same_sheet_gives_the_same_bytes() -> None:
    assert await typeset(a_sheet()) == await typeset(a_sheet())
    assert await typeset(a_sheet()) != await typeset(a_sheet(follow_up="In 15 days."))


async def test_the_file_is_tagged_and_names_its_language() -> None:
    for language in ("en", "hi"):
        paper = await typeset(a_sheet(language=language))
        assert f"/Lang({language}-IN)".encode() in paper
        assert b"/StructTreeRoot" in paper
        assert b"pdfuaid" in paper
    assert b"pdfuaid" not in await typeset(a_sheet(patient_name="Asha 🌷"))


async def test_the_code_opens_the_page_where_it_is_checked() -> None:
    page: Any = pdfium.PdfDocument(await typeset(a_sheet()))[0]
    picture = page.render(scale=2, grayscale=True)
    assert picture.stride == picture.width
    pixels = memoryview(bytes(ctypes.string_at(picture.buffer, picture.stride * picture.height)))
    (code,) = zxingcpp.read_barcodes(pixels.cast("B", (picture.height, picture.width)))
    assert code.text == "https://clinic.example.org/verify/7K2M-Q9XD"


async def test_what_is_not_known_is_left_out() -> None:
    sheet = a_sheet(age=None, sex=None, complaints=None, diagnosis=None, medicines=(), advice=None, follow_up=None)
    (text,) = await pages_of(sheet)
    assert "not given" in text
    assert "None" not in text
    assert "Medicines" not in text
    assert "Allergies" not in text
    assert "Asha" not in repr(sheet)
