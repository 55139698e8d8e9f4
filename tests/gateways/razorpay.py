"""A local Razorpay: orders, payments, refunds, and its webhooks."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.gateways.provider import Provider, refusal

WEBHOOK_SECRET = "local-razorpay-webhook-secret"


@dataclass
class Razorpay(Provider):
    """Its state, and the hand that pays."""

    user: str = "rzp_test_local"
    password: str = "local-razorpay-secret"
    orders: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    payments: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    keys: dict[str, tuple[dict[str, Any], str]] = field(default_factory=dict[str, tuple[dict[str, Any], str]])
    refunds_are: str = "processed"
    events: int = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/orders", self._open_order),
            web.get("/v1/orders", self._list_orders),
            web.post("/v1/payments/{id}/refund", self._refund),
            web.get("/v1/payments", self._list_payments),
            web.get("/v1/refunds", self._list_refunds),
        ]

    async def fields_of(self, request: web.Request) -> dict[str, Any]:
        return dict(await request.json()) if request.can_read_body else dict(request.query)

    def pay(self, order: str, *, status: str = "captured", **rest: object) -> dict[str, Any]:
        """A try to pay an order."""
        opened = self.orders[order]
        payment: dict[str, Any] = {
            "id": self.name("pay"),
            "entity": "payment",
            "amount": opened["amount"],
            "currency": opened["currency"],
            "status": status,
            "captured": status == "captured",
            "order_id": order,
            "method": "upi",
            "notes": [],
            "created_at": 1700000000,
            **rest,
        }
        self.payments[payment["id"]] = payment
        return payment

    def webhook(
        self, event: str, payment: dict[str, Any], refund: dict[str, Any] | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """The bytes and headers of a webhook, spaced and escaped as no parser would write them again."""
        self.events += 1
        told = {**payment, "amount": float(payment["amount"]), "description": "\u0939"}
        payload: dict[str, Any] = {"payment": {"entity": told}}
        if event == "order.paid":
            payload["order"] = {"entity": self.orders[payment["order_id"]]}
        if refund is not None:
            payload["refund"] = {"entity": refund}
        body = json.dumps(
            {"entity": "event", "account_id": "acc_1", "payload": payload, "event": event, "contains": list(payload)},
            separators=(" ,  ", " :\t"),
        ).encode()
        return body, {**signed(body), "x-razorpay-event-id": f"evt_{self.events}"}

    async def _open_order(self, request: web.Request) -> web.Response:
        asked = await request.json()
        if not isinstance(asked["amount"], int) or asked["amount"] < 100 or len(asked["receipt"]) > 40:
            return refusal("BAD_REQUEST_ERROR")
        if asked["payment"]["capture"] != "automatic" or len(asked["notes"]) > 15:
            return refusal("BAD_REQUEST_ERROR")
        order: dict[str, Any] = {
            "id": self.name("order"),
            "entity": "order",
            "amount": asked["amount"],
            "amount_paid": 0,
            "currency": asked["currency"],
            "receipt": asked["receipt"],
            "status": "created",
            "notes": asked["notes"],
        }
        self.orders[order["id"]] = order
        return web.json_response(order)

    async def _list_orders(self, request: web.Request) -> web.Response:
        items = [order for order in self.orders.values() if order["receipt"] == request.query["receipt"]]
        return web.json_response({"entity": "collection", "count": len(items), "items": items})

    async def _refund(self, request: web.Request) -> web.Response:
        asked, key = await request.json(), request.headers["X-Refund-Idempotency"]
        if not re.fullmatch(r"[A-Za-z0-9_-]{10,}", key):
            return refusal("BAD_REQUEST_ERROR")
        if key in self.keys:
            before, name = self.keys[key]
            return web.json_response(self.refunds[name]) if before == asked else refusal("BAD_REQUEST_ERROR")
        payment = self.payments[request.match_info["id"]]
        back = sum(r["amount"] for r in self.refunds.values() if r["payment_id"] == payment["id"])
        if payment["status"] not in ("captured", "refunded") or back + asked["amount"] > payment["amount"]:
            return refusal("BAD_REQUEST_ERROR")
        refund: dict[str, Any] = {
            "id": self.name("rfnd"),
            "entity": "refund",
            "amount": asked["amount"],
            "currency": payment["currency"],
            "payment_id": payment["id"],
            "notes": asked["notes"],
            "receipt": asked["receipt"],
            "status": self.refunds_are,
        }
        self.refunds[refund["id"]] = refund
        self.keys[key] = asked, refund["id"]
        return web.json_response(refund)

    async def _list_payments(self, request: web.Request) -> web.Response:
        return self._page(request, self.payments)

    async def _list_refunds(self, request: web.Request) -> web.Response:
        return self._page(request, self.refunds)

    def _page(self, request: web.Request, things: dict[str, dict[str, Any]]) -> web.Response:
        assert int(request.query["from"]) < int(request.query["to"])
        skip, count = int(request.query["skip"]), int(request.query["count"])
        items = list(things.values())[skip : skip + count]
        return web.json_response({"entity": "collection", "count": len(items), "items": items})


def signed(body: bytes, secret: str = WEBHOOK_SECRET) -> dict[str, str]:
    """The signature header over these bytes."""
    return {"X-Razorpay-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}
