"""Whether arguments and results fit their tool, and their exact shape where they do not (RECOVERY.md §2, §8).

Owns the compiled schemas. Control plane only: it needs jsonschema-rs, which a runtime does not have.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from caisey.protocol import limits
from caisey.protocol.frames import ShapeFault
from caisey.protocol.outline import fingerprint, outline
from caisey.protocol.shapes import Checker, Shape
from caisey.tools.catalogue import find
from caisey.tools.definition import Tool

ARGUMENTS: Final = "arguments"
RESULT: Final = "result"


def arguments_shape(tool: Tool, arguments: Any) -> Shape | None:
    """Why these arguments do not fit; `None` where they do. They go into a signed frame, so they hold no fractions."""
    shape = _arguments_checker(tool.name, tool.version).shape(ARGUMENTS, arguments)
    return shape or _too_long(ARGUMENTS, arguments, limits.ARGUMENTS_BYTES)


def result_shape(tool: Tool, result: Any) -> Shape | None:
    """Why this result does not fit; `None` where it does, and for tools whose streams are all there is."""
    checker = _result_checker(tool.name, tool.version)
    if checker is None:
        return None
    return checker.shape(RESULT, result) or _too_long(RESULT, result, limits.RESULT_BYTES)


def _too_long(subject: str, document: Any, limit: int) -> Shape | None:
    length = len(msgspec.json.encode(document))
    if length <= limit:
        return None
    fault = ShapeFault(pointer="", expected=f"JSON of at most {limit} bytes", found=f"JSON of {length} bytes")
    return Shape((fault,), outline(document), fingerprint(subject, [fault]))


def _known(name: str, version: int) -> Tool:
    tool = find(name, version)
    if tool is None:
        raise LookupError(f"no tool {name} version {version}")
    return tool


@cache
def _arguments_checker(name: str, version: int) -> Checker:
    return Checker(_known(name, version).arguments_schema, signed=True)


@cache
def _result_checker(name: str, version: int) -> Checker | None:
    schema = _known(name, version).result_schema
    return None if schema is None else Checker(schema)
