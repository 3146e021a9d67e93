"""The OpenAPI document, and the server held to it by generated requests (schemathesis)."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from caisey.api.openapi import document
from caisey.api.table import ROUTES
from tests.api.plane import Api, Plane, check_problem

EXAMPLES = 12
ANSWERED_WITHIN_S = 60.0
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


def finite(spec: dict[str, Any]) -> dict[str, Any]:
    """Without streams, which do not end, and without what would end the token that asks."""
    endless = {route.path for route in ROUTES if route.endless}
    paths = {path: one for path, one in spec["paths"].items() if path.removeprefix("/api/v1") not in endless}
    return {**spec, "paths": paths}


SPEC = document(ROUTES)
schema = schemathesis.openapi.from_dict(finite(SPEC))


ORGANIZATION = "generated"
"""One of its own: generated policies would change what other tests see."""


@pytest.fixture(scope="module")
def real_ids(plane: Plane) -> dict[str, str]:
    """Ids that exist: the generated requests go to them, so that more than 404 is seen."""
    plane.organization(ORGANIZATION)
    api = plane.api("owner", ORGANIZATION)
    made = api.enroll()
    session = api.session(made["endpoint_id"])
    prompt = api.prompt(session)
    return {
        "endpoint_id": made["endpoint_id"],
        "runtime_id": made["runtime_id"],
        "session_id": session,
        "prompt_id": prompt["id"],
        "tool_call_id": prompt["tool_calls"][0]["id"],
        "client_group_id": api.group(),
        "name": "shell",
        "version": "1",
    }


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)
def test_generated_requests(case: Any, plane: Plane, real_ids: dict[str, str]) -> None:
    for name in list(case.path_parameters or {}):
        if name in real_ids:
            case.path_parameters[name] = real_ids[name]
    headers = {"Authorization": f"Bearer {plane.token('owner', ORGANIZATION)}"}
    answer = case.call_and_validate(base_url=plane.url, headers=headers, checks=CHECKS, timeout=ANSWERED_WITHIN_S)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == ["application/problem+json"]
        assert json.loads(answer.content)["code"]


def test_every_route_is_asked_that_ends() -> None:
    found = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    asked = {(operation.method.upper(), operation.path) for operation in found}
    assert asked == {(route.method, "/api/v1" + route.path) for route in ROUTES if not route.endless}


def test_it_is_served_as_it_is_made(api: Api) -> None:
    assert api.get("/openapi.json") == json.loads(json.dumps(SPEC))


def test_every_schema_is_a_schema() -> None:
    for name, one in SPEC["components"]["schemas"].items():
        document_of_its_own = {**one, "components": SPEC["components"]}
        assert jsonschema_rs.meta.is_valid(one), name
        jsonschema_rs.Draft202012Validator(document_of_its_own)


def test_every_operation_has_its_own_name_its_role_and_its_faults() -> None:
    operations = [operation for one in SPEC["paths"].values() for operation in one.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations) == len(ROUTES)
    for operation in operations:
        assert operation["x-role"] in ("viewer", "approver", "technician", "admin", "owner")
        assert {"401", "403", "404", "422"} <= set(operation["responses"])
        assert operation["summary"]


def test_it_needs_no_token(plane: Plane) -> None:
    """It holds nothing of an organization, and whoever writes a client needs it first."""
    nobody = plane.client(None)
    assert nobody.http.get("openapi.json").status_code == 200
    answer = nobody.http.get("tools")
    check_problem(answer)
    assert answer.status_code == 401
