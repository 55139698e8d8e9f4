"""PostgreSQL dies, falls silent, or the line to it is cut in the middle of an ordinary transaction's commit."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import pytest
from pydantic import SecretStr

from server.core.settings import Settings
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, serving, working
from tests.proxy import Proxy, Trap, proxy_to

COMMAND_SECONDS = 1.0
ACQUIRE_SECONDS = 5.0
COMMIT = b"commit\0"


@dataclass
class Frail:
    """A clinic whose server, and not its worker, reaches PostgreSQL through a proxy."""

    house: House
    cast: Cast
    proxy: Proxy


@pytest.fixture
async def frail(settings: Settings, owner_url: str) -> AsyncIterator[Frail]:
    """With a command timeout of a second."""
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(proxy_to(owner_url))
        url = SecretStr(f"postgresql://amrutam_app@127.0.0.1:{proxy.port}{urlsplit(owner_url).path}")
        behind = settings.model_copy(update={"database_url": url, "command_timeout_seconds": COMMAND_SECONDS})
        server, base = await stack.enter_async_context(serving(behind))
        worker = await stack.enter_async_context(working(settings))
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        house = House(behind, [server], [base], http, owner_url, worker)
        yield Frail(house, await Cast.sign_in(house, PASSWORD), proxy)


@pytest.mark.parametrize(
    "trap",
    [
        pytest.param(Trap(COMMIT), id="cut-after-it-arrived"),
        pytest.param(Trap(COMMIT, arrives=False), id="cut-before-it-arrived"),
        pytest.param(Trap(COMMIT, silent=True), id="silent-after-it-arrived"),
        pytest.param(Trap(COMMIT, arrives=False, silent=True), id="silent-before-it-arrived"),
    ],
)
async def test_a_cancellation_whose_commit_nobody_saw_is_told_by_its_key_and_refunds_once(
    frail: Frail, trap: Trap
) -> None:
    house, asha = frail.house, frail.cast.asha
    booked = await frail.cast.confirmed(asha, frail.cast.dr_sen)
    path, key = f"/consultations/{booked['id']}/cancel", uuid4().hex
    frail.proxy.trap = trap
    began = time.monotonic()
    unknown = await asha.post(path, key=key)
    assert (unknown.status, unknown.code) == (503, "outcome-unknown"), unknown.text
    assert int(unknown.headers["Retry-After"]) >= 1
    assert time.monotonic() - began < COMMAND_SECONDS + 2
    frail.proxy.passes.set()
    async with asyncio.timeout(20):
        while (told := await asha.post(path, key=key)).status != 200:
            assert told.status == 503 or told.code == "in-flight", told.text
            await asyncio.sleep(0.1)
    assert told.headers.get("Idempotency-Replayed") == ("true" if trap.arrives else None)
    assert told.json["ended_as"] == "cancelled_by_patient"
    await house.until("select 1 from payment_entries where kind = 'refunded'")
    assert await house.value("select count(*) from payment_refunds") == 1
    assert await house.value("select count(*) from outbox where name = 'consultation.cancelled'") == 1


async def test_while_postgresql_is_silent_people_are_told_to_come_again_and_then_served(frail: Frail) -> None:
    asha, vik = frail.cast.asha, frail.cast.vik
    slots = await frail.cast.slots_of(frail.cast.dr_sen, 2)
    with frail.proxy.black_hole():
        began = time.monotonic()
        answers = await asyncio.gather(
            asha.post("/consultations", slot_id=slots[0]["id"]), *(vik.get("/consultations") for _ in range(30))
        )
        assert {answer.status for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert time.monotonic() - began < ACQUIRE_SECONDS + COMMAND_SECONDS + 2
    await served_again(asha, slots[1]["id"])


@pytest.mark.chaos
async def test_while_postgresql_is_dead_the_answer_comes_at_once_and_its_return_is_noticed_at_once(
    services: Services, frail: Frail
) -> None:
    asha, vik = frail.cast.asha, frail.cast.vik
    slots = await frail.cast.slots_of(frail.cast.dr_sen, 2)
    await services.pg.kill()
    try:
        for _ in range(3):
            began = time.monotonic()
            answers = await asyncio.gather(
                asha.post("/consultations", slot_id=slots[0]["id"]), *(vik.get("/consultations") for _ in range(10))
            )
            assert {answer.status for answer in answers} == {503}
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
            assert time.monotonic() - began < 2
    finally:
        await services.pg.start()
    await served_again(asha, slots[1]["id"])
    assert await frail.house.value("select count(*) from consultations") == 1


async def served_again(client: Client, slot_id: str) -> None:
    """Whoever comes again is served within seconds of the return."""
    began = time.monotonic()
    async with asyncio.timeout(15):
        while (answer := await client.post("/consultations", slot_id=slot_id)).status == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert answer.status == 201, answer.text
    assert time.monotonic() - began < 5
