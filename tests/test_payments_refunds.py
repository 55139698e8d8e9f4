"""Money that goes back: whole, in part, once, and never more than came."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import pytest

from server.core.ids import ConsultationId, PaymentId
from server.core.tx import Tx
from server.payments import ask_for_refund, settle_cancelled
from tests.house import Answer, Cast
from tests.test_booking import signed

BACK = "select coalesce(sum(amount_minor), 0)::bigint from payment_entries where payment_id = $1 and kind = 'refunded'"


async def report(cast: Cast, payment: dict[str, Any], kind: str, attempt: str, **rest: object) -> Answer:
    """A signed webhook of the sandbox."""
    fields = {
        "id": uuid4().hex,
        "type": kind,
        "order": payment["id"],
        "payment": attempt,
        "amount": payment["amount"],
        "currency": payment["currency"],
        **rest,
    }
    body = json.dumps(fields).encode()
    return await cast.house.stranger().call(
        "POST", "/payments/webhooks/sandbox", raw=body, headers=signed(cast.house, body)
    )


async def gone_back(cast: Cast, payment: dict[str, Any], amount: int) -> None:
    """Wait until so much went back, and all that was asked for is done."""
    await cast.house.until(f"select 1 where ({BACK}) = $2", payment["id"], amount)
    await cast.house.until("select 1 where not exists (select 1 from payment_refunds where done_at is null)")


async def test_a_part_goes_back_then_the_rest_and_never_more(cast: Cast) -> None:
    payment = (await cast.confirmed(cast.asha, cast.dr_sen))["payment"]
    path = f"/payments/{payment['id']}/refund"
    first = await cast.mira.post(path, amount=100)
    assert (first.status, first.json["status"]) == (202, "captured")
    await gone_back(cast, payment, 100)
    assert await cast.house.value("select status from payments where id = $1", payment["id"]) == "captured"
    more = await cast.mira.post(path, amount=payment["amount"])
    assert (more.status, more.code, more.json["left_minor"]) == (409, "more-than-captured", payment["amount"] - 100)
    assert (await cast.mira.post(path)).status == 202
    await gone_back(cast, payment, payment["amount"])
    assert await cast.house.value("select status from payments where id = $1", payment["id"]) == "refunded"
    nothing = await cast.mira.post(path)
    assert (nothing.status, nothing.code) == (409, "nothing-to-refund")


@pytest.mark.parametrize("amount", [0, -1, 1.5, "100", True, 10**13])
async def test_an_amount_that_is_none_is_refused(cast: Cast, amount: object) -> None:
    payment = (await cast.confirmed(cast.asha, cast.dr_sen))["payment"]
    answer = await cast.mira.post(f"/payments/{payment['id']}/refund", amount=amount)
    assert (answer.status, answer.json["errors"][0]["field"]) == (422, "amount")
    assert await cast.house.value("select count(*) from payment_refunds") == 0


async def test_of_many_askers_at_once_none_gets_back_what_another_did(cast: Cast) -> None:
    payment = (await cast.confirmed(cast.asha, cast.dr_sen))["payment"]
    part = payment["amount"] // 3
    path = f"/payments/{payment['id']}/refund"
    answers = await asyncio.gather(*(cast.mira.post(path, amount=part) for _ in range(8)))
    assert sorted(answer.status for answer in answers) == [202] * 3 + [409] * 5
    await gone_back(cast, payment, 3 * part)


async def test_a_second_capture_of_one_order_goes_back_by_itself(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    payment = booked["payment"]
    assert (await report(cast, payment, "payment.captured", "pay_second")).status == 200
    assert (await report(cast, payment, "order.paid", "pay_second")).status == 200
    await gone_back(cast, payment, payment["amount"])
    mine = (await cast.asha.get(f"/consultations/{booked['id']}")).json
    assert (mine["status"], mine["payment"]["status"]) == ("PENDING", "captured")
    assert await cast.house.value("select reason from payment_refunds") == "duplicate"


async def test_what_a_cancellation_keeps_is_kept_and_what_comes_later_goes_back_whole(cast: Cast) -> None:
    booked = await cast.confirmed(cast.asha, cast.dr_sen)
    payment = booked["payment"]

    async def half(tx: Tx) -> None:
        await settle_cancelled(tx, ConsultationId(booked["id"]), refund_minor=payment["amount"] // 2)

    database = cast.house.server.database
    await database.write(half, source="test")
    await database.write(half, source="test")  # asked again: the same cancellation
    await gone_back(cast, payment, payment["amount"] // 2)
    assert (await report(cast, payment, "payment.captured", "pay_late")).status == 200
    await gone_back(cast, payment, payment["amount"] // 2 + payment["amount"])
    late = "select amount_minor from payment_refunds where provider_payment = 'pay_late' and reason = 'late'"
    assert await cast.house.value(late) == payment["amount"]


async def test_the_front_door_gives_back_at_most_what_is_there(cast: Cast) -> None:
    payment = (await cast.confirmed(cast.asha, cast.dr_sen))["payment"]

    async def ask(tx: Tx) -> list[int]:
        asked = (30, payment["amount"], None)
        return [await ask_for_refund(tx, PaymentId(payment["id"]), amount, "cancelled") for amount in asked]

    given = await cast.house.server.database.write(ask, source="test")
    assert given == [30, payment["amount"] - 30, 0]
    await gone_back(cast, payment, payment["amount"])


async def test_a_return_made_elsewhere_is_taken_once_and_only_as_far_as_money_is_there(cast: Cast) -> None:
    payment = (await cast.confirmed(cast.asha, cast.dr_sen))["payment"]
    attempt = await cast.house.value("select provider_payment from payment_entries where kind = 'captured' limit 1")
    tries: list[tuple[str, int, int]] = [
        ("rfnd_1", 0, 422),
        ("rfnd_1", -5, 422),
        ("rfnd_1", 100, 200),
        ("rfnd_1", 100, 200),
        ("rfnd_2", payment["amount"], 422),
        ("rfnd_2", payment["amount"] - 100, 200),
        ("rfnd_3", 1, 422),
    ]
    for name, amount, status in tries:
        answer = await report(cast, payment, "refund.processed", attempt, refund=name, amount=amount)
        assert answer.status == status, (name, amount, answer.text)
    assert await cast.house.value(BACK, payment["id"]) == payment["amount"]
    assert await cast.house.value("select status from payments where id = $1", payment["id"]) == "refunded"
