"""The database while people book: its schema changes under them, and the line is cut in the middle of a commit."""

from __future__ import annotations

import asyncio
from collections import Counter
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from server.core.settings import Settings
from tests.conftest import PASSWORD
from tests.house import Answer, Cast, Client, House, open_house_of
from tests.proxy import Trap, proxy_to

# Each changes what a cached plan stands on: a column more, an index made anew, another type in an answer.
CHANGES = (
    "alter table consultations add column room_number int",
    "alter table availability_slots add column room_number int",
    "alter table payments drop constraint payments_consultation_id_key, add unique (consultation_id)",
    "alter table users alter column language type varchar(20)",
    "alter table doctors alter column time_zone type varchar(60)",
    "alter table idempotency_keys alter column reply drop not null",
)
BOOKERS = 6
EACH = 8
LOOKS = 15


async def test_a_schema_that_changes_while_people_book_costs_nobody_an_answer(cast: Cast) -> None:
    house = cast.house
    people = await house.crowd(BOOKERS)
    slots = [slot["id"] for slot in await cast.slots_of(cast.dr_sen, BOOKERS * EACH)]
    answers: list[Answer] = []

    async def book(person: Client, wanted: list[str]) -> None:
        for slot_id in wanted:
            answers.append(await person.post("/consultations", slot_id=slot_id))
            answers.append(await person.get("/consultations"))

    async def look() -> None:
        """Ask the same over every connection, so that each has a plan that the next change makes stale."""
        calls = [who.get("/me") for who in (cast.dr_sen, cast.asha) for _ in range(LOOKS)]
        answers.extend(await asyncio.gather(*calls))

    async def change() -> None:
        conn = await asyncpg.connect(house.owner_url)
        try:
            await look()
            for statement in CHANGES:
                await conn.execute(statement)
                await look()
        finally:
            await conn.close()

    await asyncio.gather(change(), *(book(person, slots[n * EACH : (n + 1) * EACH]) for n, person in enumerate(people)))
    assert Counter(answer.status for answer in answers).keys() == {200, 201}
    assert sum(answer.status == 201 for answer in answers) == BOOKERS * EACH
    assert await house.value("select count(*) from consultations") == BOOKERS * EACH


@pytest.mark.parametrize(
    "trap",
    [
        pytest.param(Trap(b"/consultations/01"), id="cut-after-it-arrived"),
        pytest.param(Trap(b"/consultations/01", arrives=False), id="cut-before-it-arrived"),
        pytest.param(Trap(b"/consultations/01", silent=True), id="silent-after-it-arrived"),
        pytest.param(Trap(b"/consultations/01", arrives=False, silent=True), id="silent-before-it-arrived"),
    ],
)
async def test_a_commit_whose_answer_never_came_is_told_true_to_who_asks_again(
    settings: Settings, owner_url: str, trap: Trap
) -> None:
    url = settings.database_url.get_secret_value()
    async with proxy_to(url) as proxy:
        through = SecretStr(f"postgresql://amrutam_app@127.0.0.1:{proxy.port}/{urlsplit(url).path.lstrip('/')}")
        async with open_house_of(settings.model_copy(update={"database_url": through}), owner_url) as house:
            cast = await Cast.sign_in(house, PASSWORD)
            [slot] = await cast.slots_of(cast.dr_sen)
            key = uuid4().hex
            proxy.trap = trap
            unknown = await cast.asha.post("/consultations", key=key, slot_id=slot["id"])
            assert (unknown.status, unknown.code) == (503, "outcome-unknown"), unknown.text
            assert unknown.headers["Retry-After"]
            proxy.passes.set()
            told = await asked_again(cast.asha, key, slot["id"])
            assert told.headers.get("Idempotency-Replayed") == ("true" if trap.arrives else None)
            assert await one_consultation(house, slot["id"]) == told.json["id"]


async def asked_again(client: Client, key: str, slot_id: str) -> Answer:
    """The same call with the same key, until it is no longer in flight."""
    async with asyncio.timeout(20):
        while True:
            answer = await client.post("/consultations", key=key, slot_id=slot_id)
            if answer.status == 201:
                return answer
            assert answer.status == 503 or answer.code == "in-flight", answer.text
            await asyncio.sleep(0.1)


async def one_consultation(house: House, slot_id: str) -> str:
    """The id of the only consultation of a slot."""
    [row] = await house.sql("select id from consultations where slot_id = $1", slot_id)
    return str(row["id"])
