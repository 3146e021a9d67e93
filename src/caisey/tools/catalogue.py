"""Every tool there is, by name and version.

Owns the list and the look-up. The definitions stand in `shells` and `builtins`; API.md "Result schemas, version 1" is
their specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from caisey.tools.builtins import BUILTINS
from caisey.tools.definition import PlatformName, Tool
from caisey.tools.shells import SHELLS

TOOLS: Final[tuple[Tool, ...]] = (*SHELLS, *BUILTINS)

_BY_VERSION: Final = {(tool.name, tool.version): tool for tool in TOOLS}
_NEWEST_FIRST: Final = {
    name: sorted((tool for tool in TOOLS if tool.name == name), key=lambda tool: -tool.version)
    for name in {tool.name for tool in TOOLS}
}


def find(name: str, version: int | None = None) -> Tool | None:
    """A tool by name; the newest version where none is given."""
    if version is None:
        return next(iter(_NEWEST_FIRST.get(name, ())), None)
    return _BY_VERSION.get((name, version))


def fitting(name: str, arguments: Mapping[str, Any]) -> Tool | None:
    """The tool for a call that names no version: the newest one that asks for nothing that the call does not give.

    So a call that names no account is one of version 1, which every runtime has.
    """
    versions = _NEWEST_FIRST.get(name, ())
    named = (tool for tool in versions if set(tool.arguments_schema.get("required", ())) <= arguments.keys())
    return next(named, versions[-1] if versions else None)


def on_platform(platform: PlatformName) -> tuple[Tool, ...]:
    """The tools that an endpoint of this platform has: what its runtime names in `hello`."""
    return tuple(tool for tool in TOOLS if platform in tool.platforms)
