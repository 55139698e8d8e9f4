"""Money that comes when the hold is over: the place is kept where it can be, and the money goes back where not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.house import Cast
from tests.test_payments_refunds import gone_back, report

STATE = "select status, ended_as, confirmed_at is not null as confirmed from consultations where id = $1"
HOLDERS = "select count(*) from consultations where slot_id = $1 and status = 'PENDING'"


async def expired(cast: Cast, **rest: Any) -> dict[str, Any]:
    """A booking of Asha's that was not paid in time."""
    booked = await cast.booked(cast.asha, cast.dr_sen, **rest)
    await cast.house.sql(
        "update payments set expires_at = now() - interval '1 second' where id = $1", booked["payment"]["id"]
    )
    await cast.house.until("select 1 from consultations where id = $1 and status = 'CANCELLED'", booked["id"])
    return booked


async def settled(cast: Cast) -> None:
    """Wait until the worker has nothing left to do."""
    await cast.house.until(
        "select 1 where not exists (select 1 from deliveries where done_at is null)"
        " and not exists (select 1 from outbox where relayed_at is null)"
    )


async def test_paid_late_and_the_slot_still_free_the_place_is_kept(cast: Cast) -> None:
    booked = await expired(cast)
    for kind in ("order.paid", "payment.captured", "payment.authorized"):
        assert (await report(cast, booked["payment"], kind, "pay_late")).status == 200
    await cast.house.until("select 1 from consultations where id = $1 and confirmed_at is not null", booked["id"])
    await settled(cast)
    mine = (await cast.asha.get(f"/consultations/{booked['id']}")).json
    assert (mine["status"], mine["ended_as"], mine["ended_at"]) == ("PENDING", None, None)
    assert mine["payment"]["status"] == "captured"
    slot = await cast.house.sql(
        "select status, consultation_id from availability_slots where id = $1", booked["slot_id"]
    )
    assert [(row["status"], str(row["consultation_id"])) for row in slot] == [("BOOKED", booked["id"])]
    assert await cast.house.value("select count(*) from payment_refunds") == 0
    assert await cast.house.value("select count(*) from notifications where cause like 'confirmed:%:mail'") == 1
    taken = await cast.vik.post("/consultations", slot_id=booked["slot_id"])
    assert (taken.status, taken.code) == (409, "slot-taken")


async def test_paid_late_and_the_place_sold_the_second_keeps_it_and_the_money_goes_back_once(cast: Cast) -> None:
    booked = await expired(cast)
    sold = await cast.vik.post("/consultations", slot_id=booked["slot_id"])
    assert sold.status == 201
    for kind in ("payment.captured", "order.paid", "payment.captured"):
        assert (await report(cast, booked["payment"], kind, "pay_late")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    await settled(cast)
    [state] = await cast.house.sql(STATE, booked["id"])
    assert state == {"status": "CANCELLED", "ended_as": "unpaid", "confirmed": False}
    assert await cast.house.value("select status from payments where id = $1", booked["payment"]["id"]) == "refunded"
    assert await cast.house.value("select count(*) from payment_refunds where reason = 'late'") == 1
    assert await cast.house.value("select count(*) from notifications where cause like 'refunded:%:mail'") == 1
    assert await cast.house.value(HOLDERS, booked["slot_id"]) == 1


async def test_paid_late_by_one_who_is_elsewhere_by_then_the_money_goes_back(cast: Cast) -> None:
    booked = await expired(cast)
    other = await cast.slots_of(cast.dr_rao, 40)
    at_once = next(
        slot for slot in other if slot["start_time"] < booked["end_time"] and booked["start_time"] < slot["end_time"]
    )
    assert (await cast.asha.post("/consultations", slot_id=at_once["id"])).status == 201
    assert (await report(cast, booked["payment"], "payment.captured", "pay_late")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    slot = "select status from availability_slots where id = $1"
    assert await cast.house.value(slot, booked["slot_id"]) == "AVAILABLE"


@pytest.mark.parametrize("by", ["asha", "mira"])
async def test_paid_after_somebody_cancelled_the_money_goes_back_though_the_slot_is_free(cast: Cast, by: str) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    who = cast.asha if by == "asha" else cast.mira
    assert (await who.post(f"/consultations/{booked['id']}/cancel")).status == 200
    assert (await report(cast, booked["payment"], "payment.captured", "pay_late")).status == 200
    await gone_back(cast, booked["payment"], booked["payment"]["amount"])
    assert (await cast.house.sql(STATE, booked["id"]))[0]["status"] == "CANCELLED"


async def test_of_a_late_payment_and_a_new_booking_at_once_one_gets_the_slot(cast: Cast) -> None:
    crowd = await cast.house.crowd(6)
    for round_ in range(3):
        booked = await expired(cast)
        payment = booked["payment"]
        answers = await asyncio.gather(
            report(cast, payment, "payment.captured", f"pay_{round_}"),
            *(one.post("/consultations", slot_id=booked["slot_id"]) for one in crowd),
        )
        assert answers[0].status == 200
        await settled(cast)
        assert await cast.house.value(HOLDERS, booked["slot_id"]) == 1
        kept = (await cast.house.sql(STATE, booked["id"]))[0]["status"] == "PENDING"
        assert sum(answer.status == 201 for answer in answers[1:]) == (0 if kept else 1)
        await gone_back(cast, payment, 0 if kept else payment["amount"])
        # The next round has another slot.
        await cast.house.sql("delete from idempotency_keys")


async def test_capture_and_the_holds_end_at_once_end_in_a_place_or_in_the_money_back(cast: Cast) -> None:
    for round_ in range(4):
        booked = await cast.booked(cast.asha, cast.dr_sen)
        payment = booked["payment"]
        await asyncio.gather(
            cast.house.sql("update payments set expires_at = now() where id = $1", payment["id"]),
            report(cast, payment, "payment.captured", f"pay_{round_}"),
            report(cast, payment, "order.paid", f"pay_{round_}"),
        )
        await cast.house.until("select 1 from consultations where id = $1 and confirmed_at is not null", booked["id"])
        await settled(cast)
        [state] = await cast.house.sql(STATE, booked["id"])
        assert state == {"status": "PENDING", "ended_as": None, "confirmed": True}


@pytest.mark.parametrize("wish", [{"reorder": True}, {"duplicates": 3}, {"delay_seconds": 0.4, "duplicates": 1}])
async def test_the_sandbox_sends_late_double_and_out_of_order_when_asked(cast: Cast, wish: dict[str, Any]) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    path = f"//dev/sandbox/{booked['payment']['id']}"
    answer = await cast.house.stranger().post(path, key=None, outcome="paid", **wish)
    assert answer.status == 200
    assert answer.json["status"] == ("pending" if "delay_seconds" in wish else "captured")
    await cast.house.until("select 1 from consultations where id = $1 and confirmed_at is not null", booked["id"])
    kinds = "select array_agg(kind order by kind) from payment_entries where payment_id = $1"
    assert await cast.house.value(kinds, booked["payment"]["id"]) == ["authorised", "captured"]


async def test_walked_away_from_nothing_is_sent_and_the_hold_goes_on(cast: Cast) -> None:
    booked = await cast.booked(cast.asha, cast.dr_sen)
    path = f"//dev/sandbox/{booked['payment']['id']}"
    answer = await cast.house.stranger().post(path, key=None, outcome="abandoned")
    assert (answer.status, answer.json["status"]) == (200, "pending")
    assert await cast.house.value("select count(*) from payment_webhooks") == 0
    wrongs: list[dict[str, Any]] = [
        {"outcome": "lost"},
        {"outcome": "paid", "delay_seconds": -1},
        {"outcome": "paid", "duplicates": 99},
    ]
    for wrong in wrongs:
        assert (await cast.house.stranger().post(path, key=None, **wrong)).status == 422
