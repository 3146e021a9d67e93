"""The OpenAPI 3.1 document, made from the route table and from the types of bodies and answers.

Owns its form. Nothing in it is written by hand that the server does not do: `x-role` is the role that is checked, a
body's schema is the one that bodies are checked with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from caisey import __version__
from caisey.api.call import PREFIX, Nothing, Route
from caisey.api.documents import Anything, Problem
from caisey.api.problem import MEDIA_TYPE, codes_with_status
from caisey.control import csrf
from caisey.control.browser_sessions import COOKIE

REFERENCE: Final = "#/components/schemas/{name}"
_STATUS_WORDS: Final = {200: "Done", 201: "Made", 202: "Accepted, and durable", 204: "Done"}
_TEXT: Final = {"type": "string"}


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    lines = list(routes)
    kinds = _kinds(lines)
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    schema_of = dict(zip(map(_name_of, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in lines:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Caisey",
            "version": __version__,
            "description": "Remote troubleshooting: ask for an outcome, and know what happened when it stalls.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}, {"cookie": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "An API token, cst_…"},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": f"The console's; what changes something also needs the header {csrf.HEADER}.",
                },
            },
        },
    }


def _kinds(routes: list[Route]) -> list[Any]:
    found: dict[str, Any] = {_name_of(Problem): Problem}
    for route in routes:
        for kind in (route.body, route.answers, route.query):
            if kind is not None and kind is not Nothing and kind != Anything:
                found[_name_of(kind)] = kind
    return list(found.values())


def _name_of(kind: Any) -> str:
    return str(kind)


def _operation(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _operation_id(route),
        "tags": [route.path.split("/")[1]],
        "x-role": route.role.value,
        "x-whole-organization": route.whole_organization,
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route, schema_of),
    }
    if route.body is not None:
        content = {"application/json": {"schema": schema_of[_name_of(route.body)]}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(route: Route) -> str:
    words = [part.strip("{}").replace("-", "_") for part in route.path.split("/") if part]
    return "_".join([route.method.lower(), *words])


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in route.parameters]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is Nothing:
        return []
    schema = msgspec.json.schema(route.query)
    described = schema["$defs"][route.query.__name__]
    required = described.get("required", [])
    parameters = []
    for name, kind in described["properties"].items():
        options = [option for option in kind.get("anyOf", [kind]) if option.get("type") != "null"]
        plain = options[0] if len(options) == 1 else {"anyOf": options}
        plain = {key: value for key, value in plain.items() if not (key == "default" and value is None)}
        parameters.append({"name": name, "in": "query", "required": name in required, "schema": plain})
    return parameters


def _header_parameters(route: Route) -> list[dict[str, Any]]:
    if route.endless:
        schema: dict[str, Any] = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        return [{"name": "Last-Event-ID", "in": "header", "required": False, "schema": schema}]
    if not route.writes:
        return []
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"}
    return [{"name": "Idempotency-Key", "in": "header", "required": False, "schema": schema}]


def _responses(route: Route, schema_of: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": _STATUS_WORDS[route.status]}
    if route.status != 204:
        answer["content"] = {
            media_type: {"schema": _answer_schema(route, media_type, schema_of)} for media_type in route.media_types
        }
    problem = {MEDIA_TYPE: {"schema": schema_of[_name_of(Problem)]}}
    responses: dict[str, Any] = {str(route.status): answer}
    for status in (400, 401, 403, 404, 409, 413, 415, 422, 429, 503):
        responses[str(status)] = {"description": ", ".join(codes_with_status(status)), "content": problem}
    return responses


def _answer_schema(route: Route, media_type: str, schema_of: dict[str, Any]) -> dict[str, Any]:
    if media_type != "application/json":
        return _TEXT
    if route.answers is None or route.answers == Anything:
        return {"type": "object"}
    found: dict[str, Any] = schema_of[_name_of(route.answers)]
    return found
