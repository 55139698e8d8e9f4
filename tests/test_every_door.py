"""Every route asked by everybody: a stranger gets nothing, another patient gets nothing, headers are on everything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

from aiohttp.test_utils import make_mocked_request

from server.accounts import Passwords, Throttle
from server.app import api_routes
from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.edge.calls import client_address
from server.core.routes import Route
from server.core.settings import Settings
from server.core.valkey import connect_redis
from tests.house import Answer, Cast, Client, House

HEADERS = {
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
    "X-Request-Id",
}


def lines(settings: Settings) -> list[Route]:
    return api_routes(settings, Cipher(settings), utc_now, Passwords(), Throttle(connect_redis(settings)))


async def ask(client: Client, route: Route, ids: dict[str, str] | None = None) -> Answer:
    """One call of a route with ids that exist (or not) and an empty body."""
    path = re.sub(r"{(\w+)(?::[^}]*)?}", lambda match: (ids or {}).get(match[1]) or str(uuid4()), route.path)
    body: Any = None if route.method in ("GET", "DELETE") else {}
    return await client.call(route.method, path, body, headers={"Idempotency-Key": uuid4().hex})


def missing_headers(answer: Answer) -> set[str]:
    """What should be on every reply and is not (names without regard to case)."""
    return {name for name in HEADERS if name not in answer.headers}


def closed(routes: Iterable[Route]) -> list[Route]:
    return [route for route in routes if route.access.roles is not None]


async def test_a_stranger_is_asked_to_sign_in_on_every_closed_route(house: House) -> None:
    for route in closed(lines(house.settings)):
        answer = await ask(house.stranger(), route)
        assert answer.status == 401, (route.method, route.path, answer.text)


async def test_a_made_up_token_is_a_stranger(house: House) -> None:
    client = house.stranger()
    client.token = "0123abcd." + "A" * 43
    for route in closed(lines(house.settings))[:5]:
        assert (await ask(client, route)).status == 401


async def test_vik_sees_and_changes_nothing_of_ashas(cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao, reason="private")
    before = await cast.house.sql("select * from consultations")
    for other in (cast.vik, cast.dr_sen):
        for route in closed(lines(cast.house.settings)):
            if "/consultations/{id}" not in route.path:
                continue
            answer = await ask(other, route, {"id": consultation["id"]})
            assert answer.status in (403, 404, 422), (other.me["role"], route.method, route.path, answer.text)
            assert consultation["patient_id"] not in answer.text
    assert await cast.house.sql("select * from consultations") == before


async def test_a_foreign_id_answers_as_an_unknown_one_does(cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    foreign = await cast.vik.get(f"/consultations/{consultation['id']}")
    unknown = await cast.vik.get(f"/consultations/{uuid4()}")
    assert foreign.status == unknown.status == 404
    assert {k: v for k, v in foreign.json.items() if k != "request_id"} == {
        k: v for k, v in unknown.json.items() if k != "request_id"
    }


async def test_patients_and_doctors_reach_no_administrators_route(cast: Cast) -> None:
    for route in closed(lines(cast.house.settings)):
        if not route.path.startswith(("/admin", "/audit")):
            continue
        for client in (cast.asha, cast.dr_rao):
            assert (await ask(client, route)).status == 403, route.path


async def test_every_route_has_a_budget_a_name_of_its_own_and_no_500_for_an_empty_body(cast: Cast) -> None:
    routes = lines(cast.house.settings)
    names = [route.name for route in routes]
    assert len(names) == len(set(names))
    for client in (cast.asha, cast.dr_rao, cast.mira):
        for route in routes:
            if route.name in ("log_out", "disable_user"):
                continue
            answer = await ask(client, route)
            assert answer.status < 500, (client.me["role"], route.method, route.path, answer.text)
            assert "RateLimit" in answer.headers
            assert missing_headers(answer) == set(), (route.method, route.path)


async def test_a_malformed_id_names_its_field(cast: Cast) -> None:
    answer = await cast.asha.get("/consultations/not-a-uuid")
    assert answer.status == 422
    assert answer.json["errors"][0]["field"] == "id"


async def test_headers_are_on_errors_too(house: House) -> None:
    for path in ("//nowhere", "/nowhere", "//healthz", "//"):
        answer = await house.stranger().call("GET", path)
        assert missing_headers(answer) == set(), path
        assert "Server" not in answer.headers or "Python" not in answer.headers["Server"]


async def test_a_cookie_session_needs_origin_and_csrf_token(house: House, cast: Cast) -> None:
    cookie = {"Cookie": f"amrutam={cast.asha.token}"}
    stranger = house.stranger()
    origin = {"Origin": house.settings.public_url}
    csrf = (await stranger.call("GET", "/me", headers=cookie)).headers["X-CSRF-Token"]
    for headers in (
        cookie,
        cookie | origin,
        cookie | {"X-CSRF-Token": csrf},
        cookie | origin | {"X-CSRF-Token": "x" * 43},
        cookie | {"Origin": "https://evil.example", "X-CSRF-Token": csrf},
        cookie | origin | {"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = await stranger.call("PATCH", "/me", {"name": "Changed"}, headers=headers)
        assert (answer.status, answer.code) == (403, "foreign-request")
    good = await stranger.call("PATCH", "/me", {"name": "Changed"}, headers=cookie | origin | {"X-CSRF-Token": csrf})
    assert good.status == 200


def test_only_a_trusted_proxys_word_counts_for_an_address() -> None:
    def address(peer: str, forwarded: str, *proxies: str) -> str:
        transport = mock_transport(peer)
        request = make_mocked_request("GET", "/", headers={"X-Forwarded-For": forwarded}, transport=transport)
        return client_address(request, [ip_network(text) for text in proxies])

    assert address("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert address("203.0.113.9", "198.51.100.1", "10.0.0.0/8") == "203.0.113.9"
    assert address("10.0.0.2", "198.51.100.1", "10.0.0.0/8") == "198.51.100.1"
    assert address("10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "10.0.0.0/8") == "198.51.100.1"
    assert address("10.0.0.2", "rubbish", "10.0.0.0/8") == "10.0.0.2"


def mock_transport(peer: str) -> Any:
    """A transport that knows its peer."""

    def extra(name: str, default: object = None) -> object:
        return (peer, 1) if name == "peername" else default

    transport = Mock()
    transport.get_extra_info = extra
    return transport
