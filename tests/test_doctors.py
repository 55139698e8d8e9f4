"""Doctors over HTTP: who is found by what, and who may change a profile."""

from __future__ import annotations

import pytest

from server.doctors import language_code
from tests.house import Cast, House


async def names(house: House, **query: str) -> list[str]:
    """The names that a search finds, all pages of it."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await house.stranger().get("/doctors", **query, **cursor)
        assert answer.status == 200, answer.text
        found += [doctor["name"] for doctor in answer.json["items"]]
        if answer.json["next_cursor"] is None:
            return found
        cursor = {"cursor": answer.json["next_cursor"]}


async def test_doctors_are_found_by_specialty_language_and_words(house: House) -> None:
    assert len(await names(house)) == 8
    assert await names(house, specialty="cardiology") == ["Dr. Arjun Sen"]
    assert "Dr. Meenakshi Subramanian" in await names(house, language="ta")
    assert await names(house, language="ta") == await names(house, language="Tamil")
    assert await names(house, q="SEN kolkata") == ["Dr. Arjun Sen"]
    assert await names(house, q="தமிழ்") == await names(house, language="ta")
    assert await names(house, q="rao", language="ta") == []
    assert await names(house, q="%") == []
    assert await names(house, q="_") == []


async def test_every_doctor_comes_once_over_many_pages(house: House) -> None:
    await house.sql(
        """
        with u as (
            insert into users (id, role, email, email_hash, name, created_at)
            select id_at(now()), 'DOCTOR', '', ('x' || n)::bytea, '', now() from generate_series(1, 50) n returning id
        )
        insert into doctors (id, user_id, name, specialty, registration_number, search_text, verified_at, created_at)
        select id_at(now()), id, 'Dr. Same Name', 'Cardiology', 'X', 'same', now(), now() from u
        """
    )
    found = await names(house)
    assert len(found) == 58
    assert found == sorted(found, key=str.encode)


@pytest.mark.parametrize("cursor", ["x", "e30", "AAAA", "eyJuYW1lIjoiYSIsImlkIjoiMSJ9", "===="])
async def test_a_foreign_cursor_is_named(house: House, cursor: str) -> None:
    answer = await house.stranger().get("/doctors", cursor=cursor)
    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "cursor"


async def test_a_profile_is_its_doctors_to_change(cast: Cast) -> None:
    rao, doctor_id = cast.dr_rao, cast.dr_rao.me["doctor_id"]
    public = (await cast.house.stranger().get(f"/doctors/{doctor_id}")).json
    assert (public["fee"], public["currency"], public["time_zone"]) == (0, "INR", "Asia/Kolkata")
    assert "verified_at" not in public
    changed = await rao.patch(f"/doctors/{doctor_id}", fee=12300, about="Zoë’s café", languages=["en", "Hindi"])
    assert changed.status == 200, changed.text
    assert (changed.json["fee"], changed.json["languages"]) == (12300, ["en", "hi"])
    assert await names(cast.house, q="zoe cafe") == ["Dr. Ananya Rao"]
    for other, status in ((cast.dr_sen, 404), (cast.asha, 403), (cast.mira, 403), (cast.house.stranger(), 401)):
        assert (await other.patch(f"/doctors/{doctor_id}", fee=1)).status == status
    refused_bodies: list[dict[str, object]] = [
        {"fee": -1},
        {"fee": 1.5},
        {"fee": "1"},
        {"languages": []},
        {"languages": ["zz"]},
        {"name": ""},
        {"registration_number": "1"},
        {"about": "x" * 2001},
    ]
    for bad in refused_bodies:
        refused = await rao.call("PATCH", f"/doctors/{doctor_id}", bad)
        assert refused.status == 422, bad
        assert refused.json["errors"][0]["field"].startswith(next(iter(bad)))


def test_languages_are_known_by_code_and_name() -> None:
    assert [language_code(text) for text in ("HI", "Hindi", "हिन्दी", "xx")] == ["hi", "hi", "hi", "xx"]
