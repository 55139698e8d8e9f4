"""The gateway's books against the ledger: lost webhooks are mended, what does not agree is listed and told."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.gateways import Razorpay
from tests.test_payments_gateways import PAID, Shop, shop

__all__ = ["shop"]


async def look(shop: Shop) -> list[dict[str, Any]]:
    """Let the books be read; every difference that was ever found, newest first."""
    begun = await shop.cast.mira.post("/admin/payments/reconciliations", key=None)
    assert begun.status == 202
    assert shop.name in begun.json["providers"]
    query = (
        "select 1 where (select count(*) from payment_reconciliations where provider = $1 and done_at is null) = 0"
        " and not exists (select 1 from outbox where relayed_at is null)"
    )
    await shop.cast.house.until(query, shop.name, seconds=40)
    listed = await shop.cast.mira.get("/admin/payments/differences", all="true")
    assert listed.status == 200, listed.text
    assert listed.json["last_look_at"] is not None
    return [item for item in listed.json["items"] if item["provider"] == shop.name]


async def test_a_webhook_that_never_came_is_made_up_for(shop: Shop) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    shop.captured(await shop.ordered(booked))  # paid, and nobody told us
    [found] = await look(shop)
    assert (found["kind"], found["payment_id"]) == ("capture_not_here", booked["payment"]["id"])
    assert found["repaired_at"] is not None
    await shop.cast.house.until(PAID, booked["id"])
    entry = "select reconciled from payment_entries where payment_id = $1 and kind = 'captured'"
    assert await shop.cast.house.value(entry, booked["payment"]["id"]) is True
    assert (await shop.cast.mira.get("/admin/payments/differences")).json["items"] == []
    assert len(await look(shop)) == 1, "looked at again, it agrees"


async def test_a_refund_made_in_the_gateways_own_pages_is_entered(shop: Shop) -> None:
    payment = (await shop.paid())["payment"]
    if isinstance(shop.provider, Razorpay):
        [attempt] = shop.provider.payments.values()
        refund: dict[str, Any] = {"payment_id": attempt["id"], "notes": [], "status": "processed"}
    else:
        [attempt] = shop.provider.intents.values()
        refund = {"payment_intent": attempt["id"], "metadata": {}, "status": "succeeded"}
    shop.provider.refunds["r1"] = {**refund, "id": "r1", "amount": 900, "currency": attempt["currency"]}
    [found] = await look(shop)
    assert (found["kind"], found["reference"], found["theirs_minor"]) == ("refund_not_here", "r1", 900)
    assert found["repaired_at"] is not None
    back = "select sum(amount_minor)::bigint from payment_entries where payment_id = $1 and kind = 'refunded'"
    assert await shop.cast.house.value(back, payment["id"]) == 900


async def test_what_does_not_agree_is_listed_once_told_and_closed_when_it_does(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    booked = await shop.paid()
    nobodys = await shop.cast.booked(shop.cast.vik, shop.cast.dr_sen)
    order = await shop.ordered(nobodys)
    stranger = shop.provider.pay(order)
    stranger.update(notes=[], metadata={}, order_id="order_of_nobody")
    books = shop.provider.payments if isinstance(shop.provider, Razorpay) else shop.provider.intents
    ours = next(thing for thing in books.values() if thing is not stranger)
    ours["amount"] += 5
    if "amount_received" in ours:
        ours["amount_received"] += 5
    with caplog.at_level(logging.ERROR):
        await look(shop)
        found = {item["kind"]: item for item in await look(shop)}
    assert set(found) == {"amount", "capture_not_here"}
    assert "a gateway's books and ours differ" in caplog.text
    assert found["amount"]["payment_id"] == booked["payment"]["id"]
    assert found["amount"]["theirs_minor"] == found["amount"]["ours_minor"] + 5
    assert found["capture_not_here"]["payment_id"] is None
    assert found["capture_not_here"]["repaired_at"] is None
    metrics = await shop.cast.house.stranger().call("GET", "//metrics")
    assert "amrutam_payment_differences 2.0" in metrics.text
    ours["amount"] -= 5
    if "amount_received" in ours:
        ours["amount_received"] -= 5
    await look(shop)
    left = (await shop.cast.mira.get("/admin/payments/differences")).json["items"]
    assert [item["kind"] for item in left] == ["capture_not_here"]


async def test_what_the_gateway_has_never_heard_of_is_listed(shop: Shop) -> None:
    payment = (await shop.paid())["payment"]
    # A day ago, by the id that tells the time: what is younger may be in the books of tomorrow.
    await shop.cast.house.sql(
        "update payment_entries set id = overlay(id::text placing substr(replace((id_at(now() - interval '1 day'))"
        "::text, '-', ''), 1, 8) from 1 for 8)::uuid where payment_id = $1 and kind = 'captured'",
        payment["id"],
    )
    books = shop.provider.payments if isinstance(shop.provider, Razorpay) else shop.provider.intents
    books.clear()
    [found] = await look(shop)
    assert (found["kind"], found["payment_id"]) == ("capture_not_there", payment["id"])
    assert (found["ours_minor"], found["theirs_minor"]) == (payment["amount"], None)


async def test_books_of_many_pages_are_read_to_the_end_also_when_the_gateway_stumbles(shop: Shop) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    order = await shop.ordered(booked)
    for _ in range(230):
        shop.provider.pay(order, status="failed" if isinstance(shop.provider, Razorpay) else "canceled")
    shop.captured(order)
    shop.provider.trouble = ["500"]
    [found] = await look(shop)
    assert found["kind"] == "capture_not_here"
    await shop.cast.house.until(PAID, booked["id"])


async def test_only_administrators_look_into_books(shop: Shop) -> None:
    for who in (shop.cast.asha, shop.cast.dr_sen):
        assert (await who.get("/admin/payments/differences")).status == 403
        assert (await who.post("/admin/payments/reconciliations", key=None)).status == 403


@pytest.mark.parametrize("language", ["en", "hi"])
async def test_the_page_shows_administrators_what_differs(shop: Shop, language: str) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    shop.captured(await shop.ordered(booked))
    await look(shop)
    house = shop.cast.house
    calm = await shop.cast.mira.call("GET", f"//admin/payments?lang={language}")
    assert calm.status == 200
    assert ("Everything agrees" if language == "en" else "सब मेल खाता है") in calm.text
    whole = await shop.cast.mira.call("GET", f"//admin/payments?all=true&lang={language}")
    assert ("Paid at the provider, not here" if language == "en" else "प्रदाता के यहाँ भुगतान") in whole.text
    assert booked["payment"]["id"][-12:] in whole.text
    assert (await shop.cast.mira.call("GET", "//admin/payments?cursor=%3Cb%3E")).status == 200
    assert (await shop.cast.asha.call("GET", "//admin/payments")).status in (403, 404)
    assert (await house.stranger().call("GET", "//admin/payments")).status in (302, 303)


async def test_the_checkout_leads_to_the_gateway_and_nowhere_else(shop: Shop) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    order = await shop.ordered(booked)
    path = f"//checkout/{booked['payment']['id']}"
    found = await shop.cast.asha.call("GET", path)
    assert 'data-action="pay"' in found.text
    assert 'data-action="fail"' not in found.text
    policy = found.headers["Content-Security-Policy"]
    if isinstance(shop.provider, Razorpay):
        assert f'action="{shop.provider.url}/v1/checkout/embedded"' in found.text
        assert f'value="{order}"' in found.text
    else:
        assert 'href="https://checkout.stripe.example/c/pay/1"' in found.text
    assert f"form-action 'self' {shop.provider.url}" in policy
    assert "script-src 'nonce-" in policy
    back = await shop.cast.house.stranger().call(
        "POST",
        path + "/back",
        raw=b"razorpay_payment_id=pay_1&razorpay_signature=forged&error%5Bcode%5D=x",
        headers={"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://api.razorpay.com"},
    )
    assert (back.status, back.headers["Location"]) == (303, path[1:])
    assert await shop.cast.house.value("select count(*) from payment_entries") == 0
