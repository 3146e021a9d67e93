"""JSON-Schema validation that names every fault by place and type (RECOVERY.md §8; API.md, conventions).

Owns the check of tool arguments, tool results and API bodies. Its messages are made from the kind and the place of an
error, never from the validator's own text, which quotes values. Needs jsonschema-rs, which only a control plane has:
a runtime must never import this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, NamedTuple

import jsonschema_rs

from caisey.protocol import limits
from caisey.protocol.faults import unsignable
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import ABSENT, bounded, fingerprint, join, length_words, outline, pattern_words, type_word

Schema = dict[str, Any]

EXPECTED_LENGTH: Final = 256

_ABOUT_LENGTH: Final = frozenset(
    {"maxLength", "minLength", "pattern", "format", "maxItems", "minItems", "maxProperties", "minProperties"}
)
_PHRASES: Final = {
    "const": "{}",
    "maxLength": "string of at most {} characters",
    "minLength": "string of at least {} characters",
    "format": "string in the format {}",
    "maxItems": "array of at most {} items",
    "minItems": "array of at least {} items",
    "maxProperties": "object of at most {} fields",
    "minProperties": "object of at least {} fields",
    "minimum": "number of at least {}",
    "maximum": "number of at most {}",
    "exclusiveMinimum": "number above {}",
    "exclusiveMaximum": "number below {}",
    "multipleOf": "multiple of {}",
    "uniqueItems": "items that all differ",
}


class Shape(NamedTuple):
    """What the ledger keeps of a document that did not fit: nothing that identifies a value."""

    faults: tuple[ShapeFault, ...]
    outline: object
    fingerprint: str


class Checker:
    """A compiled schema. Compiling costs more than checking: make one per schema and keep it.

    `signed`: the document goes into a signed frame (tool arguments), which holds no fractions and no integers beyond
    plus and minus 2^53-1 (PROTOCOL.md §1). JSON Schema would let `1.0` pass as an integer.
    """

    def __init__(self, schema: Schema, *, signed: bool = False) -> None:
        self._schema = schema
        self._signed = signed
        self._validator = jsonschema_rs.Draft202012Validator(schema)

    def faults(self, document: Any) -> tuple[ShapeFault, ...]:
        """Every fault, in the order of the document's places; empty where it fits. The document came from `codec`
        or another strict reader: its depth is bounded and its text has no lone surrogates.
        """
        found: dict[str, ShapeFault] = {}
        if not self._validator.is_valid(document):
            for error in self._validator.iter_errors(document):
                for fault in _faults_of(error, document, self._schema):
                    found.setdefault(f"{fault.pointer} {fault.expected}", fault)
                if len(found) >= limits.SHAPE_ERRORS:
                    break
        if self._signed:
            for fault in islice(unsignable(document), limits.SHAPE_ERRORS):
                found.setdefault(f"{fault.pointer} {fault.expected}", fault)
        return bounded(sorted(found.values(), key=lambda fault: fault.pointer))

    def shape(self, subject: str, document: Any) -> Shape | None:
        """The shape of a document that does not fit, for the ledger; `None` where it fits.

        `subject` is `arguments`, `result` or the name of a body; the tool is counted beside it, not in it.
        """
        faults = self.faults(document)
        if not faults:
            return None
        return Shape(faults, outline(document), fingerprint(subject, faults))


def _faults_of(error: jsonschema_rs.ValidationError, document: Any, schema: Schema) -> Iterator[ShapeFault]:
    path = list(error.instance_path)
    pointer = join("", *path)
    value = _at(document, path)
    keyword, detail = error.kind.name, error.kind.value
    if keyword == "required":
        expected = _declared(schema, list(error.schema_path), str(detail))
        yield ShapeFault(pointer=join(pointer, str(detail)), expected=expected, found=ABSENT)
    elif keyword in {"additionalProperties", "unevaluatedProperties"}:
        for name in detail:
            inner = value.get(name) if isinstance(value, dict) else None
            yield ShapeFault(pointer=join(pointer, name), expected="no such field", found=type_word(inner))
    elif keyword in {"anyOf", "oneOf"} and isinstance(detail, list):
        yield from _closest(detail, document, schema, path)
    else:
        found = length_words(value) if keyword in _ABOUT_LENGTH else type_word(value)
        yield ShapeFault(pointer=pointer, expected=_expected(keyword, detail), found=found)


def _closest(
    branches: list[list[jsonschema_rs.ValidationError]], document: Any, schema: Schema, path: list[str | int]
) -> Iterator[ShapeFault]:
    """Of several allowed forms the one that was most likely meant: it fits in type and has the fewest faults."""
    pointer = join("", *path)
    if not all(branches):
        found = length_words(_at(document, path))
        yield ShapeFault(pointer=pointer, expected="exactly one of the allowed forms", found=found)
        return
    read = [[fault for error in branch for fault in _faults_of(error, document, schema)] for branch in branches]
    meant = [
        faults
        for faults, branch in zip(read, branches, strict=True)
        if not any(error.kind.name == "type" and list(error.instance_path) == path for error in branch)
    ]
    if len(meant) > 1 and all(len(faults) == 1 and faults[0].found == ABSENT for faults in meant):
        names = ", ".join(faults[0].pointer.rpartition("/")[2] for faults in meant)
        yield ShapeFault(
            pointer=pointer, expected=f"one of the fields {names}", found=length_words(_at(document, path))
        )
    elif meant:
        yield from min(meant, key=len)
    else:
        expected = " or ".join(dict.fromkeys(fault.expected for faults in read for fault in faults))
        yield ShapeFault(pointer=pointer, expected=expected[:EXPECTED_LENGTH], found=type_word(_at(document, path)))


def _at(document: Any, path: list[str | int]) -> Any:
    for step in path:
        document = document[step]
    return document


def _declared(schema: Schema, schema_path: list[str | int], name: str) -> str:
    """What the schema says about a field that is absent. The path is the keyword's own place, with `$ref` followed."""
    node: Any = schema
    for step in schema_path[:-1]:
        node = node[step]
    declared = node.get("properties", {}).get(name)
    return _words_of(_resolved(declared, schema), schema)


def _resolved(node: Any, schema: Schema) -> Any:
    """The node that a local `$ref` names."""
    for _ in range(limits.JSON_DEPTH):
        if not isinstance(node, dict) or not str(node.get("$ref", "")).startswith("#/"):
            return node
        target: Any = schema
        for step in node["$ref"][2:].split("/"):
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
        node = target
    return None


def _words_of(node: Any, schema: Schema) -> str:
    if not isinstance(node, dict):
        return "a value"
    if "enum" in node:
        return _expected("enum", node["enum"])
    if "type" in node:
        return _expected("type", node["type"] if isinstance(node["type"], list) else [node["type"]])
    options = node.get("anyOf") or node.get("oneOf")
    if options:
        return " or ".join(dict.fromkeys(_words_of(_resolved(option, schema), schema) for option in options))
    return "a value"


def _expected(keyword: str, detail: Any) -> str:
    """What a keyword of a schema asks for, in words. The schema is ours: quoting it gives nothing away."""
    if keyword == "type":
        words = " or ".join(sorted(detail, key=lambda word: word == "null"))
    elif keyword == "enum":
        words = "one of " + ", ".join(map(str, detail))
    elif keyword == "pattern":
        words = pattern_words(detail)
    elif keyword in _PHRASES:
        words = _PHRASES[keyword].format(detail)
    else:
        words = f"a value that fits `{keyword}`"
    return words[:EXPECTED_LENGTH]
