"""The room of operations: administrators see what goes on, on every server, as it changes."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import uuid4

from realtime.delivery.client import LiveClient, Watched
from tests.conftest import PASSWORD
from tests.house import Cast, Client, House
from tests.test_socket_budgets import until_shared


def live(client: Client, base: str) -> LiveClient:
    return LiveClient(base, token=client.token, headers={"X-Forwarded-For": client.address})


def latest(watched: Watched) -> dict[str, Any]:
    """The numbers as the watcher knows them."""
    told = [signal["data"] for signal in watched.signals if signal["type"] == "operations.changed"]
    return (told[-1] if told else watched.snapshot)["operations"]


async def test_administrators_see_every_servers_numbers_as_they_change(two_servers: House) -> None:
    cast = await Cast.sign_in(two_servers, PASSWORD)
    here, there = two_servers.bases
    await until_shared(*(server.realtime for server in two_servers.servers))
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    async with contextlib.AsyncExitStack() as stack:
        mira = await stack.enter_async_context(live(cast.mira, here))
        watched = await mira.watch("ops")
        assert "operations" in watched.snapshot
        asha = await stack.enter_async_context(live(cast.asha, there))
        await asha.watch(f"consultation:{consultation['id']}")
        rao = await stack.enter_async_context(live(cast.dr_rao, here))
        await rao.watch(f"queue:{cast.dr_rao.me['doctor_id']}")
        nobody = await stack.enter_async_context(live(two_servers.stranger(), there))
        await nobody.watch(f"slots:{cast.dr_rao.me['doctor_id']}")
        wanted = {"connections": 4, "signed_in": 3, "rooms": 4, "patients": 1, "doctors": 1, "redis_away": False}
        await mira.until(lambda: {name: latest(watched)[name] for name in wanted} == wanted, seconds=12)
        servers = latest(watched)["servers"]
        assert sorted(server["connections"] for server in servers) == [2, 2]
        assert all(server["shares_budgets"] for server in servers)
        assert watched.offset == 0  # nothing here is numbered: no transaction waits for this room


async def test_parked_steps_are_seen_until_they_are_done(house: House, cast: Cast) -> None:
    async with live(cast.mira, house.base) as mira:
        watched = await mira.watch("ops")
        assert (latest(watched)["steps_parked"], latest(watched)["payment_differences"]) == (0, 0)
        event_id = uuid4()
        await house.sql(
            "with o as (insert into outbox (id, name, payload, created_at, relayed_at)"
            " values ($1, 'x.happened', '', now(), now()) returning id)"
            " insert into deliveries (event_id, step, due_at, parked_at, tries) select id, 's', now(), now(), 5 from o",
            event_id,
        )
        await mira.until(lambda: latest(watched)["steps_parked"] == 1)
        await house.sql("update deliveries set done_at = now() where event_id = $1", event_id)
        await mira.until(lambda: latest(watched)["steps_parked"] == 0)


async def test_the_room_says_that_redis_is_away_and_goes_on(services: Any, house: House, cast: Cast) -> None:
    async with live(cast.mira, house.base) as mira:
        watched = await mira.watch("ops")
        await services.valkey.stop()
        try:
            await mira.until(lambda: latest(watched)["redis_away"], seconds=15)
            assert latest(watched)["connections"] == 1
        finally:
            await services.valkey.start()
        await mira.until(lambda: not latest(watched)["redis_away"], seconds=15)


async def test_the_page_shows_administrators_alone_the_numbers_without_script_too(house: House, cast: Cast) -> None:
    path = "//admin/operations"
    shown = await cast.mira.call("GET", path)
    assert shown.status == 200
    assert 'data-figure="steps_parked">0<' in shown.text
    assert house.server.realtime.neighbours.me in shown.text
    hindi = await cast.mira.call("GET", f"{path}?lang=hi")
    assert "संचालन" in hindi.text
    for who in (cast.asha, cast.dr_rao, house.stranger()):
        refused = await who.call("GET", path)
        assert refused.status != 200
        assert "steps_parked" not in refused.text
