"""Every tool there is, by name and version.

Owns the list and the look-up. The definitions stand in `shells` and `builtins`; API.md "Result schemas, version 1" is
their specification.
"""

from __future__ import annotations

from typing import Final

from caisey.tools.builtins import BUILTINS
from caisey.tools.definition import PlatformName, Tool
from caisey.tools.shells import SHELLS

TOOLS: Final[tuple[Tool, ...]] = (*SHELLS, *BUILTINS)

_BY_VERSION: Final = {(tool.name, tool.version): tool for tool in TOOLS}
_NEWEST: Final = {tool.name: tool for tool in sorted(TOOLS, key=lambda tool: tool.version)}


def find(name: str, version: int | None = None) -> Tool | None:
    """A tool by name; the newest version where none is given."""
    return _NEWEST.get(name) if version is None else _BY_VERSION.get((name, version))


def on_platform(platform: PlatformName) -> tuple[Tool, ...]:
    """The tools that an endpoint of this platform has: what its runtime names in `hello`."""
    return tuple(tool for tool in TOOLS if platform in tool.platforms)
