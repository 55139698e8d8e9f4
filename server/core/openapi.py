"""The OpenAPI document, made from the same table that the handlers run on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from server.core.errors import (
    Forbidden,
    ForeignRequest,
    Internal,
    Invalid,
    Malformed,
    NotFound,
    Problem,
    StepUpRequired,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    WrongMediaType,
)
from server.core.idempotency import InFlight, KeyMissing, KeyReused
from server.core.routes import Document, Idempotent, Route, bare_function

REF = "#/components/schemas/{model}"
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "/problems/<code>, stable"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "message")},
            },
        },
    },
    "additionalProperties": True,
}


def document(routes: Sequence[Route], *, title: str, version: str, server: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the JSON lines of the table."""
    listed = [route for route in routes if route.is_api]
    results = {route.result for route in listed if _is_json(route)}
    asks = {route.ask for route in listed}
    inputs, in_schemas = models_json_schema([(model, "validation") for model in asks], ref_template=REF)
    outputs, out_schemas = models_json_schema([(model, "serialization") for model in results], ref_template=REF)
    schemas: dict[str, Any] = {"Problem": PROBLEM}
    schemas.update(_definitions(in_schemas))
    for name, schema in _definitions(out_schemas).items():
        schemas.setdefault(name, schema)
    for (model, _), reference in [*inputs.items(), *outputs.items()]:
        if "$ref" not in reference:
            schemas[model.__name__] = reference
    paths: dict[str, dict[str, Any]] = {}
    for route in listed:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The token of a login, or an API key."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-amrutam"},
            },
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    doc = (bare_function(route.handler).__doc__ or route.name).strip()
    path_names = re.findall(r"{(\w+)(?::[^}]*)?}", route.path)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": doc.split("\n")[0],
        "tags": [route.path.strip("/").split("/")[0]],
        "description": f"Access: {route.access.name}. Budget: {route.budget.name}.",
        "parameters": _parameters(route, path_names),
        "responses": _responses(route),
        "security": [] if route.access.roles is None else [{"bearer": []}, {"cookie": []}],
    }
    body = _body_schema(route, path_names)
    if body is not None:
        operation["requestBody"] = {
            "required": bool(body.get("required")),
            "content": {_media_of(route): {"schema": body}},
        }
    return operation


def _media_of(route: Route) -> str:
    if route.body.kind == "upload":
        return "multipart/form-data"
    return "application/x-www-form-urlencoded" if route.body.is_form else "application/json"


def _parameters(route: Route, path_names: list[str]) -> list[dict[str, Any]]:
    schema = route.ask.model_json_schema(ref_template=REF)
    properties: dict[str, Any] = schema.get("properties", {})
    found = [
        {"name": name, "in": "path", "required": True, "schema": properties.get(name, {"type": "string"})}
        for name in path_names
    ]
    if route.body.kind == "none":
        found += [
            {"name": name, "in": "query", "required": name in schema.get("required", []), "schema": inner}
            for name, inner in properties.items()
            if name not in path_names
        ]
    found += [
        {"name": name, "in": "header", "required": True, "description": what, "schema": {"type": "string"}}
        for name, what in route.body.headers.items()
    ]
    if route.idempotent is not Idempotent.NO:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
            }
        )
    return found


def _body_schema(route: Route, path_names: list[str]) -> dict[str, Any] | None:
    if route.body.kind == "upload":
        file = {"type": "string", "format": "binary", "description": f"At most {route.body.most_bytes} bytes."}
        return {"type": "object", "properties": {"file": file}, "required": ["file"]}
    if route.body.kind not in ("json", "signed"):
        return None
    schema = route.ask.model_json_schema(ref_template=REF)
    properties = {name: inner for name, inner in schema.get("properties", {}).items() if name not in path_names}
    required = [name for name in schema.get("required", []) if name not in path_names]
    body: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": schema.get("additionalProperties", True),
    }
    if required:
        body["required"] = required
    return body


def _responses(route: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    kinds: list[type[Problem]] = [*route.raises, Malformed, TooLarge, Invalid, TooMany, Internal, Unavailable]
    if "{" in route.path:
        kinds.append(NotFound)
    if route.body.kind in ("json", "form", "upload"):
        kinds += [WrongMediaType, ForeignRequest]
    if route.access.roles is not None:
        kinds += [Unauthenticated, Forbidden]
    if route.access.step_up:
        kinds.append(StepUpRequired)
    if route.idempotent is not Idempotent.NO:
        kinds += [KeyMissing, KeyReused, InFlight]
    by_status: dict[int, set[str]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, set()).add(kind.code)
    good = {"description": "Done."} | ({"content": _content(route)} if route.result is not type(None) else {})
    responses[str(route.status)] = good
    if route.status == 201 and route.idempotent is Idempotent.AT_ONCE:
        responses["200"] = good  # asking again for what one already holds
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "A problem: " + ", ".join(sorted(codes)) + ".",
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses


def _is_json(route: Route) -> bool:
    return isinstance(route.result, type) and issubclass(route.result, BaseModel) and route.result is not Document


def _content(route: Route) -> dict[str, Any]:
    if _is_json(route):
        return {"application/json": {"schema": {"$ref": REF.format(model=route.result.__name__)}}}
    media = route.reply.media_type or "application/octet-stream"
    return {media: {"schema": {"type": "string", "contentMediaType": media}}}


def _definitions(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema.get("$defs", {})
    return found
