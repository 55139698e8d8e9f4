"""A database that went back is noticed also where all that was told had been compared with the log before."""

from __future__ import annotations

import asyncio

import pytest

from tests.house import Cast, House
from tests.test_delivery_faults import emit, go_back, watching


@pytest.mark.parametrize("published", ["last", "all"])
@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("seen", [0, 4])
async def test_an_event_that_fits_behind_a_lost_one_does_not_hide_the_loss(
    house: House, cast: Cast, seen: int, lost: int, published: str
) -> None:
    """Whoever watches had the lost ones as events, or knows them from the snapshot alone."""
    room = f"slots:{cast.dr_rao.me['doctor_id']}"
    for _ in range(4 - seen):
        await emit(house, room)
    async with watching(house, room) as (live, watched):
        for _ in range(seen):
            await emit(house, room)
        await live.until(lambda: len(watched.events) == seen)
        before = watched.offset or 0
        with house.server.realtime.feeds.held(room) as feed:
            async with asyncio.timeout(10):
                while feed.proved.number < before:  # noqa: ASYNC110 - the sweep tells nobody
                    await asyncio.sleep(0.05)
        frames = await go_back(house, room, lost=lost, new=lost + 1)
        # The last of these is the next number after what was told, as if nothing had been lost.
        told = frames if published == "all" else frames[-1:]
        house.server.database.publisher.hand(told, relay=False)
        await live.until(lambda: live.resyncs, seconds=5)
        assert live.resyncs[0]["reason"] == "restored"
        await live.until(lambda: watched.asking is None and watched.offset == before + 1, seconds=5)
