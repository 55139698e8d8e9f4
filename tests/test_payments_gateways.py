"""Real gateways, spoken to over HTTP: orders, webhooks by their own signatures, returns, and days of failure."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.conftest import PASSWORD, Services
from tests.gateways import Razorpay, Stripe, Trouble, razorpay, stripe
from tests.house import Answer, Cast, open_house_of

PAID = "select 1 from consultations where id = $1 and confirmed_at is not null"
ENTRIES = "select kind, amount_minor from payment_entries where payment_id = $1 order by kind, amount_minor"


@dataclass
class Shop:
    """A house whose new payments go to one provider."""

    cast: Cast
    provider: Razorpay | Stripe

    @property
    def name(self) -> str:
        return "razorpay" if isinstance(self.provider, Razorpay) else "stripe"

    async def ordered(self, booked: dict[str, Any]) -> str:
        """The provider's name of a booking's order, when it is there."""
        query = "select provider_order from payments where id = $1 and provider_order is not null"
        return str((await self.cast.house.until(query, booked["payment"]["id"], seconds=40))[0]["provider_order"])

    async def send(self, body: bytes, headers: dict[str, str]) -> Answer:
        """A webhook that arrives."""
        path = f"/payments/webhooks/{self.name}"
        return await self.cast.house.stranger().call("POST", path, raw=body, headers=headers)

    def captured(self, order: str) -> list[tuple[bytes, dict[str, str]]]:
        """Somebody pays an order; the webhooks that tell of it, each in its own words."""
        if isinstance(self.provider, Razorpay):
            payment = self.provider.pay(order)
            return [
                self.provider.webhook(event, payment)
                for event in ("payment.authorized", "payment.captured", "order.paid")
            ]
        intent = self.provider.pay(order)
        return [
            self.provider.event("payment_intent.processing", intent),
            self.provider.event("payment_intent.succeeded", intent),
            self.provider.event("checkout.session.completed", self.provider.sessions[order]),
        ]

    async def paid(self, **rest: Any) -> dict[str, Any]:
        """A consultation of Asha's that is booked and paid at the provider."""
        booked = await self.cast.booked(self.cast.asha, self.cast.dr_sen, **rest)
        for webhook in self.captured(await self.ordered(booked)):
            assert (await self.send(*webhook)).status == 200
        await self.cast.house.until(PAID, booked["id"])
        return booked

    def returned(self, refund: dict[str, Any], state: str) -> tuple[bytes, dict[str, str]]:
        """The webhook that tells what became of a return."""
        if isinstance(self.provider, Razorpay):
            refund["status"] = state
            return self.provider.webhook(f"refund.{state}", self.provider.payments[refund["payment_id"]], refund)
        refund["status"] = {"processed": "succeeded"}.get(state, state)
        return self.provider.event("refund.updated", refund)


@pytest.fixture(params=["razorpay", "stripe"])
async def shop(request: pytest.FixtureRequest, services: Services) -> AsyncIterator[Shop]:
    """A shop at each of the two."""
    await services.forget()
    provider: Razorpay | Stripe = Razorpay() if request.param == "razorpay" else Stripe()
    async with provider:
        settings = services.settings_of(
            await services.new_database(),
            gateway=request.param,
            reconcile_minutes=0,  # its questions would meet the troubles that are meant for others
            gateway_timeout_seconds=1.5,
            razorpay_url=provider.url,
            stripe_url=provider.url,
            razorpay_key_id="rzp_test_local",
            razorpay_key_secret="local-razorpay-secret",
            razorpay_webhook_secret=razorpay.WEBHOOK_SECRET,
            stripe_key="sk_test_local",
            stripe_webhook_secret=stripe.WEBHOOK_SECRET,
        )
        owner = services.pg.url(services.owner, urlsplit(settings.database_url.get_secret_value()).path.lstrip("/"))
        async with open_house_of(settings, owner) as house:
            yield Shop(await Cast.sign_in(house, PASSWORD), provider)


async def test_a_payment_goes_its_whole_way(shop: Shop) -> None:
    house = shop.cast.house
    booked = await shop.paid()
    payment = booked["payment"]
    assert (await shop.cast.asha.get(f"/consultations/{booked['id']}")).json["payment"]["status"] == "captured"
    asked = [one for one in shop.provider.asked if one.method == "POST"]
    assert len(asked) == 1
    assert payment["id"] in str(asked[0].fields)
    assert "sen" not in str(asked[0].fields).lower(), "a gateway is not told whom somebody sees"
    assert (await shop.cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    await house.until("select 1 from payments where id = $1 and status = 'refunded'", payment["id"])
    [refund] = shop.provider.refunds.values()
    assert refund["amount"] == payment["amount"]
    assert (await shop.send(*shop.returned(refund, "processed"))).status == 200
    kinds = [row["kind"] for row in await house.sql(ENTRIES, payment["id"])]
    assert kinds == ["authorised", "captured", "refunded"]
    await house.until("select 1 from notifications where cause like 'refunded:%:mail'")
    await house.until(
        "select 1 where not exists (select 1 from deliveries where done_at is null)"
        " and not exists (select 1 from outbox where relayed_at is null)"
    )
    assert await house.value("select count(*) from notifications where cause like 'refunded:%:mail'") == 1


async def test_any_order_of_webhooks_each_twice_makes_one_entry(shop: Shop) -> None:
    for order in itertools.islice(itertools.permutations(range(3)), 0, 6, 2):
        booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
        webhooks = shop.captured(await shop.ordered(booked))
        for number in (*order, *order):
            assert (await shop.send(*webhooks[number])).status == 200
        await shop.cast.house.until(PAID, booked["id"])
        kinds = [row["kind"] for row in await shop.cast.house.sql(ENTRIES, booked["payment"]["id"])]
        assert kinds == ["authorised", "captured"]


async def test_a_part_goes_back_and_is_done_when_the_gateway_says_so(shop: Shop) -> None:
    house = shop.cast.house
    shop.provider.refunds_are = "pending"
    payment = (await shop.paid())["payment"]
    assert (await shop.cast.mira.post(f"/payments/{payment['id']}/refund", amount=700)).status == 202
    await house.until("select 1 from payment_refunds where provider_refund is not null")
    assert await house.value("select count(*) from payment_entries where kind = 'refunded'") == 0
    [refund] = shop.provider.refunds.values()
    for state in ("processed", "processed", "failed", "processed"):
        assert (await shop.send(*shop.returned(refund, state))).status == 200
    # It came back: the money is with us, and can be asked for again.
    assert await house.value("select failed_at is not null from payment_refunds") is True
    shop.provider.refunds.clear()
    shop.provider.refunds_are = "processed" if shop.name == "razorpay" else "succeeded"
    assert (await shop.cast.mira.post(f"/payments/{payment['id']}/refund")).status == 202
    await house.until("select 1 from payments where id = $1 and status = 'refunded'", payment["id"])


@pytest.mark.parametrize("trouble", ["500", "429", "hang", "endless", "rubbish", "cut"])
async def test_a_way_to_pay_appears_by_itself_when_the_gateway_is_back(shop: Shop, trouble: Trouble) -> None:
    shop.provider.trouble = [trouble]
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    assert await shop.ordered(booked)
    opened = shop.provider.orders if isinstance(shop.provider, Razorpay) else shop.provider.sessions
    assert len(opened) == 1


async def test_with_the_gateway_gone_for_good_the_slot_is_free_when_the_hold_ends(shop: Shop) -> None:
    shop.provider.trouble = ["400"] * 100
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    await shop.cast.house.until("select 1 from deliveries where error = 'gateway-refused'")
    await shop.cast.house.sql("update payments set expires_at = now() - interval '1 second'")
    await shop.cast.house.until("select 1 from consultations where id = $1 and status = 'CANCELLED'", booked["id"])
    assert (await shop.cast.vik.post("/consultations", slot_id=booked["slot_id"])).status == 201


async def test_a_return_that_fails_on_the_way_is_made_once(shop: Shop) -> None:
    payment = (await shop.paid())["payment"]
    shop.provider.trouble = ["500", "cut"]
    assert (await shop.cast.mira.post(f"/payments/{payment['id']}/refund")).status == 202
    await shop.cast.house.until("select 1 from payments where id = $1 and status = 'refunded'", payment["id"])
    assert len(shop.provider.refunds) == 1
    name = "X-Refund-Idempotency" if shop.name == "razorpay" else "Idempotency-Key"
    tries = [one for one in shop.provider.asked if one.method == "POST" and "refund" in one.path]
    assert len(tries) == 3
    assert len({one.headers[name] for one in tries}) == 1


@pytest.mark.parametrize("harm", ["signature", "secret", "none", "amount", "currency", "order", "hollow"])
async def test_a_webhook_that_is_not_right_changes_nothing(shop: Shop, harm: str) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    body, headers = shop.captured(await shop.ordered(booked))[1]
    told = json.loads(body)
    thing = told["payload"]["payment"]["entity"] if shop.name == "razorpay" else told["data"]["object"]
    if harm == "amount":
        thing["amount"] = thing["amount_received"] = int(thing["amount"]) + 1
    elif harm == "currency":
        thing["currency"] = "USD" if shop.name == "razorpay" else "usd"
    elif harm == "order":
        thing["notes" if shop.name == "razorpay" else "metadata"] = {"amrutam_payment": str(uuid4())}
    elif harm == "hollow":
        thing.pop("id")
    sign = razorpay.signed if shop.name == "razorpay" else stripe.signed
    sent = json.dumps(told).encode()
    headers = {**headers, **(sign(sent, "another") if harm == "secret" else sign(sent))}
    if harm == "signature":
        sent += b" "
    elif harm == "none":
        headers = {}
    answer = await shop.send(sent, headers)
    assert answer.status == (401 if harm in ("signature", "secret", "none") else 422), answer.text
    assert await shop.cast.house.value("select count(*) from payment_entries") == 0
    assert await shop.cast.house.value("select count(*) from payment_webhooks") == 0


async def test_events_of_others_and_of_no_account_are_taken_and_change_nothing(shop: Shop) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    order = await shop.ordered(booked)
    if isinstance(shop.provider, Razorpay):
        stranger = {**shop.provider.pay(order), "id": "pay_stranger", "order_id": "order_stranger"}
        sent = [shop.provider.webhook(event, stranger) for event in ("payment.captured", "payment.dispute.created")]
    else:
        stranger = {**shop.provider.pay(order), "id": "pi_stranger", "metadata": None}
        sent = [shop.provider.event(type_, stranger) for type_ in ("payment_intent.succeeded", "customer.created")]
    for body, headers in sent:
        assert (await shop.send(body, headers)).status == 200
    assert await shop.cast.house.value("select count(*) from payment_entries") == 0


async def test_stripes_signature_is_not_older_than_five_minutes(shop: Shop) -> None:
    if not isinstance(shop.provider, Stripe):
        pytest.skip("Razorpay's signature has no time")
    body, headers = shop.provider.event("customer.created", {"id": "cus_1"})
    t = int(headers["Stripe-Signature"].split(",")[0][2:])
    assert (await shop.send(body, stripe.signed(body, at=t - 299))).status == 200
    assert (await shop.send(body, stripe.signed(body, at=t - 360))).status == 401
    assert (await shop.send(body, stripe.signed(body, at=t + 360))).status == 401


async def test_an_order_that_nobody_paid_is_closed_with_its_hold(shop: Shop) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    order = await shop.ordered(booked)
    assert (await shop.cast.asha.post(f"/consultations/{booked['id']}/cancel")).status == 200
    await shop.cast.house.until(
        "select 1 from deliveries where step = 'booking_payment.close_order' and done_at is not null"
    )
    if isinstance(shop.provider, Stripe):
        assert shop.provider.sessions[order]["status"] == "expired"


async def test_the_sandbox_cannot_speak_for_a_real_gateway(shop: Shop) -> None:
    booked = await shop.cast.booked(shop.cast.asha, shop.cast.dr_sen)
    answer = await shop.cast.house.stranger().post(f"//dev/sandbox/{booked['payment']['id']}", key=None, outcome="paid")
    assert answer.status == 404


async def test_openapi_says_how_each_gateway_signs(shop: Shop) -> None:
    paths = (await shop.cast.house.stranger().get("/openapi.json")).json["paths"]
    wanted = {
        "sandbox": {"Amrutam-Signature"},
        "razorpay": {"X-Razorpay-Signature", "x-razorpay-event-id"},
        "stripe": {"Stripe-Signature"},
    }
    for name, headers in wanted.items():
        parameters = paths[f"/payments/webhooks/{name}"]["post"]["parameters"]
        assert {one["name"] for one in parameters if one["in"] == "header" and one["required"]} == headers
