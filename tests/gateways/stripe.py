"""A local Stripe: Checkout Sessions, payment intents, refunds, and its events."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.gateways.provider import Provider, refusal

WEBHOOK_SECRET = "whsec_local"
SESSION_FIELDS = {
    "mode",
    "client_reference_id",
    "line_items[0][quantity]",
    "line_items[0][price_data][currency]",
    "line_items[0][price_data][unit_amount]",
    "line_items[0][price_data][product_data][name]",
    "metadata[amrutam_payment]",
    "payment_intent_data[metadata][amrutam_payment]",
    "success_url",
    "cancel_url",
    "expires_at",
}


@dataclass
class Stripe(Provider):
    """Its state, and the hand that pays."""

    user: str = "sk_test_local"
    password: str = ""
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    intents: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    keys: dict[str, tuple[dict[str, Any], dict[str, Any]]] = field(
        default_factory=dict[str, tuple[dict[str, Any], dict[str, Any]]]
    )
    refunds_are: str = "succeeded"
    events: int = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/checkout/sessions", self._open_session),
            web.post("/v1/checkout/sessions/{id}/expire", self._expire_session),
            web.post("/v1/refunds", self._refund),
            web.get("/v1/payment_intents", self._list_intents),
            web.get("/v1/refunds", self._list_refunds),
        ]

    async def fields_of(self, request: web.Request) -> dict[str, Any]:
        if request.method == "GET":
            return dict(request.query)
        assert request.content_type == "application/x-www-form-urlencoded"
        return dict(await request.post())

    def pay(self, session: str, *, status: str = "succeeded") -> dict[str, Any]:
        """Somebody pays a session."""
        opened = self.sessions[session]
        intent: dict[str, Any] = {
            "id": self.name("pi"),
            "object": "payment_intent",
            "amount": opened["amount_total"],
            "amount_received": opened["amount_total"] if status == "succeeded" else 0,
            "currency": opened["currency"],
            "status": status,
            "metadata": opened["metadata"],
            "created": 1700000000,
        }
        self.intents[intent["id"]] = intent
        opened.update(payment_intent=intent["id"], payment_status="paid" if status == "succeeded" else "unpaid")
        return intent

    def event(self, type_: str, thing: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
        """The bytes and headers of an event."""
        self.events += 1
        body = json.dumps(
            {"id": f"evt_{self.events}", "object": "event", "type": type_, "data": {"object": thing}}, indent=3
        ).encode()
        return body, signed(body)

    def _again(self, request: web.Request, asked: dict[str, Any]) -> web.Response | None:
        key = request.headers["Idempotency-Key"]
        if key not in self.keys:
            return None
        before, answer = self.keys[key]
        return web.json_response(answer) if before == asked else refusal("idempotency_error")

    async def _open_session(self, request: web.Request) -> web.Response:
        asked = await self.fields_of(request)
        if (again := self._again(request, asked)) is not None:
            return again
        lives = int(asked["expires_at"]) - time.time()
        if set(asked) != SESSION_FIELDS or asked["mode"] != "payment" or not 1800 <= lives <= 86400:
            return refusal("parameter_invalid")
        session: dict[str, Any] = {
            "id": self.name("cs_test"),
            "object": "checkout.session",
            "url": "https://checkout.stripe.example/c/pay/1",
            "amount_total": int(asked["line_items[0][price_data][unit_amount]"]),
            "currency": asked["line_items[0][price_data][currency]"],
            "client_reference_id": asked["client_reference_id"],
            "metadata": {"amrutam_payment": asked["metadata[amrutam_payment]"]},
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
        }
        self.sessions[session["id"]] = session
        self.keys[request.headers["Idempotency-Key"]] = asked, session
        return web.json_response(session)

    async def _expire_session(self, request: web.Request) -> web.Response:
        session = self.sessions[request.match_info["id"]]
        if session["status"] != "open" or session["payment_status"] == "paid":
            return refusal("resource_invalid")
        session["status"] = "expired"
        return web.json_response(session)

    async def _refund(self, request: web.Request) -> web.Response:
        asked = await self.fields_of(request)
        if (again := self._again(request, asked)) is not None:
            return again
        intent = self.intents[asked["payment_intent"]]
        back = sum(r["amount"] for r in self.refunds.values() if r["payment_intent"] == intent["id"])
        if back + int(asked["amount"]) > intent["amount_received"]:
            return refusal("charge_already_refunded")
        refund: dict[str, Any] = {
            "id": self.name("re"),
            "object": "refund",
            "amount": int(asked["amount"]),
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": {
                name[len("metadata[") : -1]: value for name, value in asked.items() if name.startswith("metadata[")
            },
            "status": self.refunds_are,
        }
        self.refunds[refund["id"]] = refund
        self.keys[request.headers["Idempotency-Key"]] = asked, refund
        return web.json_response(refund)

    async def _list_intents(self, request: web.Request) -> web.Response:
        return self._page(request, self.intents)

    async def _list_refunds(self, request: web.Request) -> web.Response:
        return self._page(request, self.refunds)

    def _page(self, request: web.Request, things: dict[str, dict[str, Any]]) -> web.Response:
        names = list(things)
        start = names.index(request.query["starting_after"]) + 1 if "starting_after" in request.query else 0
        chosen = names[start : start + int(request.query["limit"])]
        more = start + len(chosen) < len(names)
        return web.json_response({"object": "list", "has_more": more, "data": [things[name] for name in chosen]})


def signed(body: bytes, secret: str = WEBHOOK_SECRET, *, at: int | None = None) -> dict[str, str]:
    """The signature header over these bytes, beside one of a secret that is going."""
    t = str(at if at is not None else int(time.time()))
    mac = hmac.new(secret.encode(), f"{t}.".encode() + body, hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={t},v1={'0' * 64},v1={mac},v0=old"}
