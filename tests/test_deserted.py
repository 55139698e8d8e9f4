"""A patient who was called in and whose doctor vanished waits again, also when nobody has the room open."""

from __future__ import annotations

import asyncio

import pytest

from tests.house import Cast, House
from tests.test_delivery import hasty_server, live

PLACE = "select checked_in_at, called_at from consultations where id = $1"


async def test_a_called_patient_waits_again_though_nobody_has_the_room_open(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    path = f"/consultations/{consultation['id']}"
    assert (await cast.asha.post(f"{path}/check-in", key=None)).status == 200
    [before] = await house.sql(PLACE, consultation["id"])
    async with hasty_server(house) as base:
        assert (await cast.dr_rao.post(f"{path}/call", key=None)).status == 200
        async with live(cast.dr_rao, base=base) as rao:
            await rao.watch(f"queue:{cast.dr_rao.me['doctor_id']}")
            with pytest.raises(TimeoutError):  # at the queue the doctor is still there
                await house.until(f"{PLACE} and called_at is null", consultation["id"], seconds=3)
        await house.until(f"{PLACE} and called_at is null", consultation["id"], seconds=10)
    [after] = await house.sql(PLACE, consultation["id"])
    assert after["checked_in_at"] == before["checked_in_at"]


async def test_who_is_being_met_is_never_put_back(house: House, cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    path = f"/consultations/{consultation['id']}"
    assert (await cast.asha.post(f"{path}/check-in", key=None)).status == 200
    async with hasty_server(house):
        assert (await cast.dr_rao.post(f"{path}/call", key=None)).status == 200
        assert (await cast.dr_rao.post(f"{path}/start", key=None)).status == 200
        await asyncio.sleep(3)  # several rounds: the absence of a change is the thing
    status = await house.value("select status from consultations where id = $1", consultation["id"])
    assert status == "ACTIVE"
