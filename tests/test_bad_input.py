"""Bad input at every door: a problem that names the field, never a 500, and nothing changed."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiohttp
import pytest

from realtime.delivery.client import LiveClient, Refused
from server.core.routes import Route
from server.core.tx import Role
from tests.conftest import PASSWORD, Services
from tests.house import Answer, Cast, Client, House, serving
from tests.test_booking import signed
from tests.test_every_door import lines

# A body that fits, for every route that takes one: each case below spoils one thing of it.
GOOD: dict[str, dict[str, Any]] = {
    "register": {"email": "kamala@example.org", "password": "a kettle of green tea", "name": "Kamala"},
    "verify_email": {"token": "A" * 43},
    "log_in": {"email": "patient1@example.org", "password": PASSWORD},
    "step_up": {"password": PASSWORD},
    "request_reset": {"email": "patient1@example.org"},
    "reset_password": {"token": "A" * 43, "password": "a kettle of green tea"},
    "accept_invitation": {"token": "A" * 43, "password": "a kettle of green tea"},
    "change_password": {"password": "a kettle of green tea"},
    "confirm_totp": {"otp": "123456"},
    "change_me": {"name": "Kamala"},
    "change_doctor": {"about": "Sees adults and children."},
    "invite_doctor": {
        "email": "new.doctor@example.org",
        "name": "Dr. New",
        "specialty": "Dermatology",
        "languages": ["en"],
        "registration_number": "KA-1",
        "fee": 50000,
    },
    "set_hours": {
        "time_zone": "Asia/Kolkata",
        "slot_minutes": 30,
        "weekly": [{"weekday": 1, "from": "09:00", "to": "12:00"}],
    },
    "take_leave": {"from": "2031-01-01T00:00:00Z", "to": "2031-01-02T00:00:00Z"},
    "add_extra_hours": {"from": "2031-01-01T09:00:00Z", "to": "2031-01-01T12:00:00Z"},
    "join_waitlist": {"doctor_id": str(uuid4()), "from": "2031-01-01T00:00:00Z", "to": "2031-01-02T00:00:00Z"},
    "book_slot": {"slot_id": str(uuid4())},
    "cancel_booking": {},
    "add_device": {
        "endpoint": "https://push.example.org/1",
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "AAAAAAAAAAAAAAAAAAAAAA",
        },
    },
    "walk_in": {"reason": "A rash"},
    "book_follow_up": {"start_time": "2031-01-01T00:00:00Z", "free_of_charge": True},
    "reschedule": {"slot_id": str(uuid4())},
    "transfer": {"doctor_id": str(uuid4())},
    "tell_readiness": {"camera": "ok", "microphone": "ok", "speaker": "ok", "network": "ok"},
    "tell_delay": {"minutes": 15},
    "write_message": {"client_id": "c1", "text": "hello"},
    "write_note": {"text": "Seen."},
    "write_prescription": {"medicines": [{"name": "Paracetamol", "dose": "500 mg", "frequency": "1-0-1"}]},
    "refund_payment": {"amount": 100},
    "take_webhook": {
        "id": "e1",
        "type": "payment.captured",
        "order": str(uuid4()),
        "payment": "p1",
        "amount": 1,
        "currency": "INR",
    },
}
TAKES_WHATEVER_ELSE = {"take_webhook"}
WRONG: list[object] = [{"a": [1]}, [["x"]], 2.5, "x" * 5000, -(2**40)]
REORDERING = "safe \u202e gnp.exe"
RUBBISH = [
    b"{",
    b"[]",
    b'"text"',
    b"null",
    b"\xff\xfe{\x00}\x00",
    b'{"a": NaN}',
    b'{"a": 1e999}',
    b'{"a": -' + b"9" * 5000 + b"}",
    b"[" * 60_000,
    b'{"a": ' * 40 + b"1" + b"}" * 40,
    b'{"a": "' + b"x" * 70_000 + b'"}',
    json.dumps({f"k{n}": n for n in range(1500)}).encode(),
]


@dataclass(slots=True)
class Quiet:
    """A house without a worker, so that nothing changes unless a call changes it, and who knocks there."""

    cast: Cast
    real: dict[str, str]

    @property
    def house(self) -> House:
        return self.cast.house

    def path(self, route: Route) -> str:
        """The route's address with ids that exist and are the caller's own."""
        kind = route.path.strip("/").split("/")[0]
        return re.sub(r"{(\w+)}", lambda match: self.real.get(kind, str(uuid4())), route.path)

    def who(self, route: Route) -> Client:
        """Somebody whom the route lets in."""
        roles = route.access.roles
        if roles is None:
            return self.house.stranger()
        if Role.PATIENT in roles and Role.DOCTOR not in roles:
            return self.cast.asha
        if Role.DOCTOR in roles:
            return self.cast.dr_rao
        return self.cast.mira

    async def send(self, route: Route, raw: bytes, **headers: str) -> Answer:
        """One call with these bytes."""
        sent = {"Idempotency-Key": uuid4().hex, **headers}
        if route.name == "take_webhook":
            sent |= signed(self.house, raw)
        return await self.who(route).call(route.method, self.path(route), raw=raw, headers=sent)

    async def counts(self) -> dict[str, int]:
        """How many rows each table holds."""
        names = await self.house.sql(
            "select relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition order by relname"
        )
        query = " union all ".join(
            f"select '{row['relname']}' as name, count(*) from {row['relname']}" for row in names
        )
        return {row["name"]: row["count"] for row in await self.house.sql(query)}


@pytest.fixture
async def quiet(services: Services) -> AsyncIterator[Quiet]:
    """The quiet house, where a thousand calls are no flood."""
    await services.forget()
    settings = services.settings_of(await services.new_database(), limit_factor=1000)
    owner = services.pg.url(services.owner, urlsplit(settings.database_url.get_secret_value()).path.lstrip("/"))
    async with serving(settings) as (server, base), aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
        house = House(settings, [server], [base], http, owner)
        cast = await Cast.sign_in(house, PASSWORD)
        consultation = await cast.booked(cast.asha, cast.dr_rao)
        real = {
            "consultations": consultation["id"],
            "doctors": cast.dr_rao.me["doctor_id"],
            "payments": consultation["payment"]["id"],
            "patients": cast.asha.me["patient_id"],
        }
        yield Quiet(cast, real)


def takers(quiet: Quiet) -> Iterator[tuple[Route, dict[str, Any]]]:
    """Every route with a body, and a body that fits."""
    for route in lines(quiet.house.settings):
        if route.body.kind in ("json", "signed") and not route.body.is_form:
            yield route, GOOD.get(route.name, {})


def names_it(answer: Answer, field: str) -> bool:
    """Whether a refusal names the field, or a part of it."""
    return any(re.split(r"[.]", error["field"])[0] == field for error in answer.json.get("errors", []))


def is_problem(answer: Answer, *statuses: int) -> bool:
    return answer.status in statuses and answer.headers["Content-Type"].startswith("application/problem+json")


def test_every_route_that_takes_a_body_is_tried_here(services: Services) -> None:
    settings = services.settings_of("none")
    for route in lines(settings):
        if route.body.kind in ("json", "signed") and not route.body.is_form:
            own = set(route.ask.model_fields) - set(re.findall(r"{(\w+)}", route.path))
            assert bool(own) == (route.name in GOOD), f"{route.name}: say in GOOD what fits it"


async def test_wrong_missing_and_extra_fields_are_named_and_nothing_changes(quiet: Quiet) -> None:
    before = await quiet.counts()
    for route, good in takers(quiet):
        schema = route.ask.model_json_schema()
        in_path = set(re.findall(r"{(\w+)}", route.path))
        spoiled: list[tuple[str, dict[str, Any]]] = []
        for name in schema.get("properties", {}):
            if name in in_path:
                continue
            spoiled += [(name, good | {name: wrong}) for wrong in WRONG]
            if name in schema.get("required", []):
                spoiled.append((name, {key: value for key, value in good.items() if key != name}))
                spoiled.append((name, good | {name: None}))
            if name != "password":
                spoiled.append((name, good | {name: REORDERING}))
        if route.name not in TAKES_WHATEVER_ELSE:
            spoiled.append(("surprise", good | {"surprise": 1}))
        spoiled += [(name, good | {name: str(uuid4())}) for name in in_path]
        for field, body in spoiled:
            answer = await quiet.send(route, json.dumps(body).encode())
            about = (route.method, route.path, field, str(body.get(field))[:40], answer.text[:300])
            assert is_problem(answer, 422), about
            assert names_it(answer, field), about
            assert REORDERING not in answer.text
    assert await quiet.counts() == before


async def test_nul_half_characters_doubled_keys_and_huge_numbers_are_named(quiet: Quiet) -> None:
    before = await quiet.counts()
    for route, good in takers(quiet):
        for field in good or {"surprise": 1}:
            name = json.dumps(field).encode()
            for raw in (
                b'{%s: "a\\u0000b"}' % name,
                b'{%s: "a\x00b"}' % name,
                b'{%s: "\\ud800"}' % name,
                b"{%s: 1, %s: 2}" % (name, name),
                b"{%s: 9007199254740993}" % name,
                b'{%s: [{"b": 1e400}]}' % name,
                b"{%s: %s}" % (name, b"7" * 5000),
            ):
                answer = await quiet.send(route, raw)
                about = (route.method, route.path, raw[:60], answer.text[:300])
                assert is_problem(answer, 400), about
                if b"\x00" not in raw:
                    assert names_it(answer, field), about
    assert await quiet.counts() == before


async def test_what_is_no_json_is_refused_everywhere(quiet: Quiet) -> None:
    before = await quiet.counts()
    for route, good in takers(quiet):
        fitting = json.dumps(good).encode()
        for raw in RUBBISH:
            answer = await quiet.send(route, raw)
            assert is_problem(answer, 400, 413, 422), (route.path, raw[:40], answer.status, answer.text[:300])
        if route.body.kind == "json":
            broken = await quiet.send(route, gzip.compress(fitting)[:-9] + b"rubbish", **{"Content-Encoding": "gzip"})
            assert is_problem(broken, 400), (route.path, broken.text)
            bomb = await quiet.send(route, gzip.compress(b" " * 5_000_000), **{"Content-Encoding": "gzip"})
            assert is_problem(bomb, 400, 413), (route.path, bomb.text)
            for media in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data"):
                other = await quiet.send(route, fitting or b"{}", **{"Content-Type": media})
                assert is_problem(other, 415), (route.path, media, other.text)
            charset = await quiet.send(route, b"\xe9" + fitting, **{"Content-Type": "application/json; charset=no"})
            assert is_problem(charset, 400), (route.path, charset.text)
    assert await quiet.counts() == before


async def test_ids_and_queries_that_cannot_be_are_named(quiet: Quiet) -> None:
    before = await quiet.counts()
    for route in lines(quiet.house.settings):
        who, path = quiet.who(route), quiet.path(route)
        key = {"Idempotency-Key": uuid4().hex}
        body = None if route.body.kind == "none" else GOOD.get(route.name, {})
        if route.body.kind == "upload":
            continue  # what is no multipart is refused before anything else; tests/test_attachments.py
        if route.body.kind != "signed":
            extra = await who.call(route.method, path + "?surprise=1", body, headers=key)
            assert is_problem(extra, 422), (route.path, extra.text)
            assert names_it(extra, "surprise")
        if "{id}" in route.path:
            for wrong in ("not-a-uuid", "1", "%00", str(uuid4())[:-1], "x" * 3000, "%ED%A0%80", "{" + str(uuid4())):
                answer = await who.call(route.method, route.path.replace("{id}", wrong), body, headers=key)
                assert is_problem(answer, 400, 404, 422), (route.path, wrong[:40], answer.status, answer.text[:200])
                if answer.status == 422:
                    assert names_it(answer, "id"), (route.path, wrong[:40], answer.text[:200])
        if route.body.kind != "none":
            continue
        properties = route.ask.model_json_schema().get("properties", {})
        for name in set(properties) - set(re.findall(r"{(\w+)}", route.path)):
            for wrong in ("x" * 5000, "a\x00b", REORDERING, "9" * 400, "-1"):
                answer = await who.call(route.method, f"{path}?{name}={quote(wrong)}")
                about = (route.path, name, wrong[:20], answer.status, answer.text[:200])
                assert is_problem(answer, 400, 422) or (wrong[0] in "9-" and answer.status == 200), about
                if answer.status == 422:
                    assert names_it(answer, name), about
            twice = await who.call(route.method, f"{path}?{name}=1&{name}=2")
            assert is_problem(twice, 422), (route.path, twice.text)
            assert names_it(twice, name)
    assert await quiet.counts() == before


async def test_a_key_that_is_none_is_refused(quiet: Quiet) -> None:
    before = await quiet.counts()
    for route, good in takers(quiet):
        if route.idempotent.value == "no":
            continue
        for key in ("", "x" * 5000, "a\tb"):
            answer = await quiet.send(route, json.dumps(good).encode(), **{"Idempotency-Key": key})
            assert is_problem(answer, 422), (route.path, key[:10], answer.text)
            assert answer.code == "idempotency-key-missing"
    assert await quiet.counts() == before


async def test_bad_socket_calls_are_answered_and_change_nothing(quiet: Quiet) -> None:
    before = await quiet.counts()
    table = quiet.house.server.realtime.commands.table
    for number, line in enumerate(table):
        person = (quiet.cast.asha, quiet.cast.dr_rao, quiet.cast.vik)[number % 3]
        if line.name.startswith("queue."):
            person = quiet.cast.dr_rao
        elif line.name.startswith(("waiting.", "chat.")):
            person = quiet.cast.asha
        async with LiveClient(person.base, token=person.token, headers={"X-Forwarded-For": person.address}) as client:
            for field, fields in socket_cases(line.ask.model_json_schema(by_alias=True)):
                with pytest.raises(Refused) as refused:
                    await client.call(line.name, **fields)
                assert refused.value.code == "invalid", (line.name, fields, refused.value.problem)
                named = {error["field"].split(".")[0] for error in refused.value.problem["errors"]}
                assert field in named, (line.name, fields, refused.value.problem)
                await asyncio.sleep(0)
    assert await quiet.counts() == before


def socket_cases(schema: dict[str, Any]) -> list[tuple[str, dict[str, object]]]:
    """The field, and a message in which it is wrong; few, for a socket's budget is small."""
    cases: list[tuple[str, dict[str, object]]] = [("surprise", {"surprise": 1})]
    for name in list(schema.get("properties", {}))[:4]:
        wrongs: list[object] = [{"a": [1]}, REORDERING, "x" * 20_000]
        cases.extend((name, {name: wrong}) for wrong in wrongs)
    return cases
