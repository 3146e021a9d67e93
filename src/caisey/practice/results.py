"""Made-up answers of the tools that have a result, so that ordinary calls are answered in form.

Owns the values: each is the plainest that its schema takes, and where it is text it says `practice`. The services are a
little world of their own, so that a service can be stopped and started again.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from caisey.practice.identity import SYSTEM
from caisey.tools.catalogue import find

TEXT: Final = "practice"
AT: Final = "2000-01-01T00:00:00.000Z"
_CHANGING: Final = {"start": "running", "restart": "running", "stop": "stopped"}
_KNOWN: Final[dict[str, Any]] = {
    "hostname": TEXT,
    "os": "linux",
    "os_version": SYSTEM,
    "arch": TEXT,
    "sha256": "0" * 64,
}


class Answer(NamedTuple):
    """`result` None: the tool has none, its streams are the answer."""

    result: Any
    changes: list[dict[str, Any]]


def of_call(tool: str, version: int, arguments: dict[str, Any], services: dict[str, str]) -> Answer:
    """What the tool would say, made up. `services` is changed by starting and stopping."""
    definition = find(tool, version)
    if definition is None or definition.result_schema is None:
        return Answer(None, [])
    if tool == "service":
        return _service(arguments, services)
    return Answer(plainest(definition.result_schema), [])


def plainest(schema: dict[str, Any], name: str = "") -> Any:
    """The plainest document that a schema of ours takes."""
    if name in _KNOWN:
        return _KNOWN[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for some in ("anyOf", "oneOf"):
        if some in schema:
            return plainest(_joined(schema, schema[some][0]), name)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = "null" if "null" in kind else kind[0]
    if kind == "object":
        properties = schema.get("properties", {})
        return {each: plainest(properties.get(each, {"type": "null"}), each) for each in schema.get("required", ())}
    plain: dict[str, Any] = {"null": None, "array": [], "boolean": False, "integer": 0, "number": 0}
    return plain.get(kind, AT if name.endswith("_at") else TEXT)


def _joined(schema: dict[str, Any], branch: dict[str, Any]) -> dict[str, Any]:
    """A schema with one of its allowed forms."""
    plain = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
    return {
        **plain,
        **branch,
        "properties": {**plain.get("properties", {}), **branch.get("properties", {})},
        "required": [*plain.get("required", ()), *branch.get("required", ())],
    }


def _service(arguments: dict[str, Any], services: dict[str, str]) -> Answer:
    name, action = str(arguments.get("name", TEXT)), str(arguments.get("action", "status"))
    before = services.get(name, "running")
    after = _CHANGING.get(action, before)
    services[name] = after
    changes = [] if before == after else [{"what": f"service {name}", "before": before, "after": after}]
    return Answer({"name": name, "state": after, "enabled": action != "disable"}, changes)
