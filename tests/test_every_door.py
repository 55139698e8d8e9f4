"""Every route asked by everybody: a stranger gets nothing, another patient gets nothing, headers are on everything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from aiohttp.test_utils import make_mocked_request
from socketio.exceptions import ConnectionError as SocketRefused

from realtime.delivery.client import LiveClient, Refused
from server.accounts import Passwords, Throttle, begin_session
from server.app import api_routes
from server.core.cache import Cache
from server.core.cipher import Cipher
from server.core.clock import utc_now
from server.core.edge.calls import client_address
from server.core.ids import UserId
from server.core.publish import Publisher
from server.core.routes import Route
from server.core.scripts import Scripts
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


A_FILE = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\nContent-Type: application/pdf\r\n\r\n'
    b"%PDF-1.7\n%%EOF\r\n--x--\r\n"
)


def lines(settings: Settings) -> list[Route]:
    cipher, redis = Cipher(settings), connect_redis(settings)
    cache = Cache(Scripts(redis), Publisher(redis, cipher))
    return api_routes(settings, cipher, utc_now, Passwords(), Throttle(redis), cache)


async def ask(client: Client, route: Route, ids: dict[str, str] | None = None) -> Answer:
    """One call of a route with ids that exist (or not) and an empty body."""
    path = re.sub(r"{(\w+)(?::[^}]*)?}", lambda match: (ids or {}).get(match[1]) or str(uuid4()), route.path)
    if route.body.kind == "upload":
        headers = {"Idempotency-Key": uuid4().hex, "Content-Type": "multipart/form-data; boundary=x"}
        return await client.call(route.method, path, raw=A_FILE, headers=headers)
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


async def half_signed_in(cast: Cast, who: Client) -> Client:
    """Somebody's session that has its second step still before it."""
    client = cast.house.stranger()
    user_id = UserId(UUID(who.me["id"]))
    client.token = await cast.house.server.database.write(
        lambda tx: begin_session(tx, user_id, second_step=True), source="test"
    )
    return client


async def test_before_the_second_step_and_after_the_logout_nothing_opens(cast: Cast) -> None:
    half = {who.me["role"]: await half_signed_in(cast, who) for who in (cast.asha, cast.dr_rao, cast.mira)}
    assert (await cast.vik.post("/auth/logout", key=None)).status == 200
    for route in closed(lines(cast.house.settings)):
        assert (await ask(cast.vik, route)).status == 401, (route.method, route.path)
        if not route.access.second_step:
            for role, client in half.items():
                assert (await ask(client, route)).status == 401, (role, route.method, route.path)


# What a socket may ask about a consultation, with everything that the call wants.
SOCKET_ASKS: dict[str, dict[str, Any]] = {
    "waiting.check_in": {"consultation_id": ""},
    "waiting.leave": {"consultation_id": ""},
    "queue.call": {"consultation_id": ""},
    "waiting.readiness": {"consultation_id": "", "camera": "ok", "microphone": "ok", "speaker": "ok", "network": "ok"},
    "queue.skip": {"consultation_id": ""},
    "queue.put_back": {"consultation_id": ""},
    "queue.transfer": {"consultation_id": "", "doctor_id": "00000000-0000-7000-8000-000000000000"},
    "queue.tell_delay": {"minutes": 15},
    "queue.end_delay": {},
    "chat.send": {"consultation_id": "", "client_id": "c1", "text": "hello"},
    "chat.typing": {"consultation_id": ""},
    "chat.read": {"consultation_id": "", "number": 1},
    "video.join": {"consultation_id": "", "device": "tab1"},
    "video.describe": {"to": "p", "epoch": 1, "seq": 1, "description": {"type": "offer", "sdp": "v=0\r\n"}},
    "video.candidate": {"to": "p", "epoch": 1, "candidates": [{"candidate": ""}]},
    "video.media": {"audio": True, "video": True},
    "video.quality": {"score": 50},
    "video.ice": {},
    "video.leave": {},
}


async def refusals(client: Client, calls: dict[str, dict[str, Any]]) -> dict[str, str]:
    """How each call of a socket is refused; a handshake that is refused stands for all of them."""
    found: dict[str, str] = {}
    for name, fields in calls.items():
        live = LiveClient(client.base, token=client.token, headers={"X-Forwarded-For": client.address})
        try:
            async with live:
                await live.call(name.split("|")[0], **fields)
                found[name] = "answered"
        except SocketRefused:
            found[name] = "handshake"
        except Refused as refused:
            found[name] = refused.code
    return found


async def test_sockets_open_nothing_before_the_second_step_and_after_the_logout(cast: Cast) -> None:
    consultation = await cast.confirmed(cast.asha, cast.dr_rao)
    table = {line.name for line in cast.house.server.realtime.commands.table}
    assert table == set(SOCKET_ASKS) | {"subscribe", "unsubscribe"}, "say in SOCKET_ASKS what the new call wants"
    calls = {
        name: fields | ({"consultation_id": consultation["id"]} if "consultation_id" in fields else {})
        for name, fields in SOCKET_ASKS.items()
    }
    doctor_id = cast.dr_rao.me["doctor_id"]
    rooms = (f"consultation:{consultation['id']}", f"queue:{doctor_id}", f"user:{cast.asha.me['id']}", "ops")
    calls |= {f"subscribe|{room}": {"room": room} for room in rooms}
    before = await cast.house.sql("select * from consultations")
    half = [await half_signed_in(cast, who) for who in (cast.asha, cast.dr_rao)]
    ended = await half_signed_in(cast, cast.asha)
    assert (await ended.post("/auth/logout", key=None)).status == 200
    for client in (*half, ended):
        assert set((await refusals(client, calls)).values()) <= {"handshake", "unauthenticated"}
    assert await cast.house.sql("select * from consultations") == before


async def test_a_call_is_signalled_only_from_inside(cast: Cast) -> None:
    await cast.confirmed(cast.asha, cast.dr_rao)
    inside = {name: fields for name, fields in SOCKET_ASKS.items() if name.startswith("video.")}
    inside.pop("video.join")
    for client in (cast.vik, cast.dr_sen, cast.asha):
        found = await refusals(client, inside)
        # To go where one is not is no mistake; to signal there is.
        found.pop("video.leave")
        assert set(found.values()) <= {"not-found", "forbidden", "not-in-call", "conflict"}, found
    assert set((await refusals(cast.house.stranger(), inside)).values()) == {"unauthenticated"}


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
        return client_address(request, tuple(ip_network(text) for text in proxies))

    assert address("203.0.113.9", "198.51.100.1") == "203.0.113.9"
    assert address("203.0.113.9", "198.51.100.1", "10.0.0.0/8") == "203.0.113.9"
    assert address("10.0.0.2", "198.51.100.1", "10.0.0.0/8") == "198.51.100.1"
    assert address("10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "10.0.0.0/8") == "198.51.100.1"
    assert address("10.0.0.2", "rubbish", "10.0.0.0/8") == "10.0.0.2"


def test_a_proxy_that_nobody_named_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    def ask(peer: str, *proxies: str) -> None:
        request = make_mocked_request(
            "GET", "/", headers={"X-Forwarded-For": "1.2.3.4"}, transport=mock_transport(peer)
        )
        client_address(request, tuple(ip_network(text) for text in proxies))

    ask("203.0.113.9")  # a stranger who makes it up
    ask("10.7.7.7", "10.0.0.0/8")
    assert caplog.records == []
    for _ in range(3):
        ask("10.7.7.7")
    [said] = caplog.records
    assert "10.7.7.7" in said.getMessage()
    assert "AMRUTAM_TRUSTED_PROXIES" in said.getMessage()


def mock_transport(peer: str) -> Any:
    """A transport that knows its peer."""

    def extra(name: str, default: object = None) -> object:
        return (peer, 1) if name == "peername" else default

    transport = Mock()
    transport.get_extra_info = extra
    return transport
