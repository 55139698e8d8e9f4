"""The house on a Redis cluster: the same bookings, locks, limits, work and live events; slots move and nodes die."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from realtime.delivery.client import LiveClient, Watched
from server.core.publish import room_channel
from server.core.settings import Settings
from server.up.programs import valkey_program
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, open_house_of
from tests.test_delivery_chaos import change_of
from tests.valkeys import Cluster, cluster_of
from worker.broker import make_broker
from worker.queries import Delivery

QUICK_SECONDS = 0.25  # a channel brought it, not the sweep
pytestmark = pytest.mark.chaos


@pytest.fixture
async def cluster(services: Services, tmp_path: Path) -> AsyncIterator[Cluster]:
    """Three nodes and a replica."""
    async with cluster_of(valkey_program(services.valkey.folder), tmp_path) as running:
        yield running


@pytest.fixture
async def on_cluster(cluster: Cluster, settings: Settings, owner_url: str) -> AsyncIterator[House]:
    """Two servers and a worker on the cluster."""
    of_cluster = settings.model_copy(update={"redis_url": SecretStr(cluster.url)})
    async with open_house_of(of_cluster, owner_url, servers=2) as house:
        yield house


@contextlib.asynccontextmanager
async def watching(house: House, client: Client, room: str) -> AsyncGenerator[tuple[LiveClient, Watched]]:
    """Somebody who watches a room on the second server."""
    headers = {"X-Forwarded-For": client.address}
    async with LiveClient(house.bases[1], token=client.token, headers=headers) as live:
        yield live, await live.watch(room)


async def seconds_until_heard(house: House, live: LiveClient, watched: Watched, doctor_id: Any) -> float:
    """How long an event of the first server takes to a watcher on the second."""
    before = len(watched.events)

    async def tell(tx: Any) -> None:
        tx.emit(change_of(doctor_id, tx))

    await house.servers[0].database.write(tell, source="test")
    began = time.monotonic()
    await live.until(lambda: len(watched.events) > before, seconds=5)
    return time.monotonic() - began


async def until_quick(house: House, live: LiveClient, watched: Watched, doctor_id: Any, seconds: float) -> list[float]:
    """Send events until three in a row were quick; how long each took."""
    took: list[float] = []
    async with asyncio.timeout(seconds):
        while len(took) < 3 or max(took[-3:]) > QUICK_SECONDS:
            took.append(await seconds_until_heard(house, live, watched, doctor_id))
    return took


def in_order(watched: Watched) -> bool:
    """Whether every event came once, in order."""
    numbers = [event["offset"] for event in watched.events]
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_booking_events_locks_limits_and_work_are_as_on_one_server(on_cluster: House) -> None:
    house = on_cluster
    cast = await Cast.sign_in(house, PASSWORD)
    room = f"slots:{cast.dr_rao.me['doctor_id']}"
    async with watching(house, house.stranger(), room) as (live, watched):
        [slot] = await cast.slots_of(cast.dr_rao)
        answers = await asyncio.gather(
            *(who.post("/consultations", base=base, slot_id=slot["id"]) for who, base in zip(
                (cast.asha, cast.vik), house.bases, strict=True))
        )  # fmt: skip
        assert sorted(answer.status for answer in answers) == [201, 409]
        await live.until(lambda: watched.events, seconds=2)
        assert watched.events[0]["data"]["slot"]["id"] == slot["id"]
        took = await until_quick(house, live, watched, cast.dr_rao.me["doctor_id"], 10)
        assert len(took) <= 6, took
    await house.until("select 1 from notifications where cause like 'confirmed:%:mail' and state = 'sent'")
    # One budget for both servers.
    stranger = house.stranger()
    told = [
        (await stranger.post("/consultations", base=house.bases[n % 2], slot_id=slot["id"])).status for n in range(61)
    ]
    assert set(told[:60]) == {401}
    assert told[60] == 429
    tries = [
        await stranger.post(
            "/auth/login", key=None, base=house.bases[n % 2], email="patient3@example.org", password="wrong-wrong-1"
        )
        for n in range(7)
    ]
    assert [answer.status for answer in tries][:5] == [401] * 5
    assert tries[-1].code == "too-many-tries"


async def test_work_goes_from_one_worker_to_another_over_the_cluster(cluster: Cluster, settings: Settings) -> None:
    of_cluster = settings.model_copy(update={"redis_url": SecretStr(cluster.url)})

    async def run(delivery: Delivery) -> None:
        raise AssertionError(f"nobody runs {delivery} here")

    one, send = make_broker(of_cluster, run)
    other, _ = make_broker(of_cluster, run)
    event_id = uuid4()
    try:
        await send((event_id, "notices.send"))
        listening = other.listen()
        async with asyncio.timeout(5):
            message = await anext(listening)
        assert str(event_id).encode() in message
        await listening.aclose()
    finally:
        await one.shutdown()
        await other.shutdown()


async def test_a_channel_is_followed_to_the_node_its_slot_moves_to(on_cluster: House, cluster: Cluster) -> None:
    house = on_cluster
    cast = await Cast.sign_in(house, PASSWORD)
    doctor_id = cast.dr_rao.me["doctor_id"]
    room = f"slots:{doctor_id}"
    async with watching(house, house.stranger(), room) as (live, watched):
        await until_quick(house, live, watched, doctor_id, 10)
        channel = room_channel(room)
        there = next(node for node in cluster.nodes[:3] if node is not cluster.has(channel))
        moving = asyncio.create_task(cluster.move(channel, there))
        took = await until_quick(house, live, watched, doctor_id, 15)
        await moving
        took += await until_quick(house, live, watched, doctor_id, 15)
        assert max(took) < 2, took
        assert in_order(watched)


async def test_with_a_node_killed_events_still_come_and_its_replica_takes_over(
    on_cluster: House, cluster: Cluster
) -> None:
    house = on_cluster
    cast = await Cast.sign_in(house, PASSWORD)
    doctor_id = cast.dr_rao.me["doctor_id"]
    room = f"slots:{doctor_id}"
    # The room's channel lies where the node dies; the work's nudges and the other rooms may lie anywhere.
    first = cluster.has(room_channel(room))
    await cluster.replicate(first)
    async with watching(house, house.stranger(), room) as (live, watched):
        await until_quick(house, live, watched, doctor_id, 10)
        await first.kill()
        took = [await seconds_until_heard(house, live, watched, doctor_id) for _ in range(3)]
        consultation = await cast.booked(cast.asha, cast.dr_rao)
        assert consultation["status"] == "PENDING"
        took += await until_quick(house, live, watched, doctor_id, 20)
        assert max(took) < 2, took
        assert in_order(watched)
        await first.start()  # it comes back as the replica
        took = await until_quick(house, live, watched, doctor_id, 10)
        assert max(took) < 2, took
        await house.until("select 1 from notifications where cause like 'confirmed:%:mail' and state = 'sent'")
