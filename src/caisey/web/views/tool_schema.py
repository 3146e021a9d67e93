"""A JSON Schema of a tool as lines that people read: name, what it takes, what it means.

Pure. What it cannot say in a line is left to the schema itself, which stands below.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Argument(NamedTuple):
    """One line."""

    name: str
    kind: str
    required: bool
    meaning: str


def arguments_of(schema: Mapping[str, Any]) -> list[Argument]:
    """The properties of an object, the needed ones first."""
    needed = schema.get("required", ())
    properties: Mapping[str, Any] = schema.get("properties", {})
    order = sorted(properties, key=lambda name: name not in needed)
    return [Argument(name, _kind(properties[name]), name in needed, _meaning(properties[name])) for name in order]


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " · ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        return " or ".join(_kind(option) for option in schema["anyOf"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return f"{kind}{_bounds(schema)}"


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f", {low} to {high}"
    if high is not None:
        return f", at most {high}"
    if low is not None:
        return f", at least {low}"
    return f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""


def _meaning(schema: Mapping[str, Any]) -> str:
    said = str(schema.get("description", ""))
    if "default" in schema and schema["default"] is not None:
        default = schema["default"]
        text = {True: "yes", False: "no"}.get(default, default) if isinstance(default, bool) else default
        return f"{said} Without it: {text}.".strip()
    return said
