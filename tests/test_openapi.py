"""The published documents: valid, complete, and every reply of the running server inside them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

import hypothesis
import hypothesis.strategies as st
import pytest
import requests
import schemathesis
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft7Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis import checks as general_checks
from schemathesis.specs.openapi import checks as openapi_checks

from server.core.tx import Role
from tests.conftest import PASSWORD, Services
from tests.house import Cast, Client, House, open_house_of
from tests.test_every_door import lines

EXAMPLES = 6
CHECKS: list[Any] = [
    general_checks.__dict__["not_a_server_error"],
    *(
        getattr(openapi_checks, name)
        for name in ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
    ),
]
FIXED = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=cast("list[hypothesis.HealthCheck]", list(hypothesis.HealthCheck)),
)


async def document_of(house: House, name: str = "openapi") -> dict[str, Any]:
    answer = await house.stranger().get(f"/{name}.json")
    assert answer.status == 200
    return dict(answer.json)


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each operation by its id, with its path and method in it."""
    return {
        operation["operationId"]: operation | {"path": path, "method": method.upper()}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_the_document_is_openapi_3_1_and_holds_every_line_of_the_table_once(house: House) -> None:
    document = await document_of(house)
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(cast("Any", document)).validate()
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    table = {(route.method, route.path) for route in lines(house.settings) if route.is_api}
    assert {(found["method"], found["path"]) for found in operations(document).values()} == table


async def test_each_operation_says_who_may_call_and_what_can_come_back(house: House) -> None:
    document = await document_of(house)
    assert set(document["components"]["securitySchemes"]) == {"bearer", "cookie"}
    routes = {route.name: route for route in lines(house.settings)}
    for name, operation in operations(document).items():
        route = routes[name]
        assert bool(operation["security"]) == (route.access.roles is not None), name
        expected: set[int] = {route.status, 400, 422, 429, 500, 503} | {problem.status for problem in route.raises}
        if route.access.roles is not None:
            expected |= {401, 403}
        if "{" in route.path:
            expected.add(404)
        assert expected <= {int(status) for status in operation["responses"]}, name
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], (name, status)
                codes = {problem.code for problem in route.raises if problem.status == int(status)}
                assert all(code in response["description"] for code in codes), (name, status)


async def test_fields_bear_their_names_on_the_wire(house: House) -> None:
    by_name = operations(await document_of(house))
    slots = {parameter["name"]: parameter for parameter in by_name["list_slots"]["parameters"]}
    assert {name: one["in"] for name, one in slots.items()} == {"id": "path", "from": "query", "to": "query"}
    assert not slots["from"]["required"]
    for name in ("take_leave", "join_waitlist"):
        body = by_name[name]["requestBody"]["content"]["application/json"]["schema"]
        assert {"from", "to"} <= set(body["required"])
    for name in ("book_slot", "cancel_booking", "reschedule", "write_prescription", "refund_payment"):
        keys = [one for one in by_name[name]["parameters"] if one["name"] == "Idempotency-Key"]
        assert [(one["in"], one["required"]) for one in keys] == [("header", True)]


async def test_the_real_time_document_is_asyncapi_3_0(house: House) -> None:
    document = await document_of(house, "asyncapi")
    schema = json.loads((Path(__file__).parent / "schemas" / "asyncapi-3.0.0.json").read_text())
    validator: Any = Draft7Validator(schema)
    found = [f"{list(error.absolute_path)}: {error.message[:200]}" for error in validator.iter_errors(document)]
    assert found == []


@pytest.fixture
async def wide_house(services: Services) -> AsyncIterator[House]:
    """A house in which thousands of calls are no flood."""
    await services.forget()
    settings = services.settings_of(await services.new_database(), limit_factor=1000)
    owner = services.pg.url(services.owner, urlsplit(settings.database_url.get_secret_value()).path.lstrip("/"))
    async with open_house_of(settings, owner) as opened:
        yield opened


async def test_no_reply_is_a_500_or_outside_the_document(wide_house: House) -> None:
    cast_ = await Cast.sign_in(wide_house, PASSWORD)
    consultation = await cast_.confirmed(cast_.asha, cast_.dr_rao)
    [slot] = await cast_.slots_of(cast_.dr_sen)
    real = {
        "consultations": consultation["id"],
        "doctors": cast_.dr_rao.me["doctor_id"],
        "payments": consultation["payment"]["id"],
        "patients": cast_.asha.me["patient_id"],
        "admin": cast_.dr_rao.me["doctor_id"],
    }
    people = [cast_.asha, cast_.dr_rao, cast_.mira, wide_house.stranger()]
    document = await document_of(wide_house)
    by_role = {Role.PATIENT: cast_.asha, Role.DOCTOR: cast_.dr_rao, Role.ADMIN: cast_.mira}
    may = {
        route.name: [by_role[role] for role in sorted(route.access.roles)] if route.access.roles else people
        for route in lines(wide_house.settings)
    }
    explorer = Explorer(wide_house.base, people, may, real, slot["id"])
    failures = await asyncio.to_thread(explorer.explore, document)
    assert failures == []
    # It is worth something only if it came past the doors: many operations did what they are for, most said what was
    # wrong.
    assert len({name for name, status in explorer.seen if status < 300}) > len(operations(document)) / 3
    assert len({name for name, status in explorer.seen if status == 422}) > len(operations(document)) / 2


class Explorer:
    """Asks every operation with data that fits and data that does not, and keeps count of what came back."""

    def __init__(
        self, base: str, people: list[Client], may: dict[str, list[Client]], real: dict[str, str], slot_id: str
    ) -> None:
        self.base = base
        self.people = people
        self.may = may
        self.real = real
        self.slot_id = slot_id
        self.seen: Counter[tuple[str, int]] = Counter()

    def explore(self, document: dict[str, Any]) -> list[str]:
        """What went wrong, in words."""
        schema: Any = schemathesis.openapi.from_dict(document)
        failures: list[str] = []
        # The logout comes last: it ends the sessions that the others need.
        found = [result.ok() for result in schema.get_all_operations()]
        found.sort(key=lambda operation: operation.path == "/auth/logout")
        with requests.Session() as http:
            for operation in found:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    try:
                        self._try(http, operation, mode)
                    except Unsatisfiable:
                        assert mode is GenerationMode.NEGATIVE  # an operation that takes nothing has no wrong data
                    except Exception as error:  # every finding belongs in one list
                        failures.append(f"{operation.method.upper()} {operation.path} {mode}: {describe(error)}")
        return failures

    def _try(self, http: requests.Session, operation: Any, mode: GenerationMode) -> None:
        raw = operation.definition.raw
        name = raw["operationId"]
        content = raw.get("requestBody", {}).get("content", {}).get("application/json", {})
        properties = content.get("schema", {}).get("properties", {})

        @FIXED
        @hypothesis.given(
            case=operation.as_strategy(generation_mode=mode),
            person=st.sampled_from(self.may[name] if mode is GenerationMode.POSITIVE else self.people),
            real=st.booleans(),
        )
        def ask(case: Any, person: Client, real: bool) -> None:
            headers = {"X-Forwarded-For": person.address}
            if person.token:
                headers["Authorization"] = f"Bearer {person.token}"
            kind = operation.path.strip("/").split("/")[0]
            if real and kind in self.real and "{id}" in operation.path:
                case.path_parameters["id"] = self.real[kind]
            if mode is GenerationMode.POSITIVE:
                if "Idempotency-Key" in (case.headers or {}):
                    case.headers["Idempotency-Key"] = uuid4().hex
                if "slot_id" in properties:
                    case.body["slot_id"] = self.slot_id
            response = case.call(base_url=self.base + "/api/v1", headers=headers, session=http, timeout=10)
            self.seen[name, response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        ask()


def describe(error: BaseException) -> str:
    """A finding with all that it is made of."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return "; ".join(describe(one) for one in inner) if inner else f"{type(error).__name__}: {error}"[:800]
