"""`/tools`: what can be asked of a computer.

Owns the mapping; definitions are `tools.catalogue`'s.
"""

from __future__ import annotations

from typing import Any, Final

from caisey.api.call import Answer, Call, Route
from caisey.api.documents import ToolShown
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.control.roles import Role
from caisey.core.errors import Fault
from caisey.tools.catalogue import TOOLS, find
from caisey.tools.definition import Tool

VERSION_DIGITS: Final = 9


async def list_tools(call: Call) -> Answer:
    return Answer(page_in_memory(TOOLS, call.query, lambda tool: (tool.name, tool.version), _shown))


async def show_tool(call: Call) -> Answer:
    version = call.path["version"]
    known = version.isascii() and version.isdecimal() and len(version) <= VERSION_DIGITS
    tool = find(call.path["name"], int(version)) if known else None
    if tool is None:
        raise Fault("resource.not_found")
    return Answer(_shown(tool))


def _shown(tool: Tool) -> ToolShown:
    document: dict[str, Any] = tool.document()
    return ToolShown(
        name=tool.name,
        version=tool.version,
        summary=tool.summary,
        arguments_schema=tool.arguments_schema,
        result_schema=tool.result_schema,
        effect=tool.effect,
        effect_by_call=tool.effect_by_call,
        effect_by_argument=tool.effect_by_argument,
        platforms=list(tool.platforms),
        verify=document.get("verify"),
        digest=tool.digest,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/tools",
        role=Role.VIEWER,
        summary="All tools",
        read=list_tools,
        query=PageQuery,
        answers=Page[ToolShown],
    ),
    Route(
        method="GET",
        path="/tools/{name}/{version}",
        role=Role.VIEWER,
        summary="One version of one tool",
        read=show_tool,
        answers=ToolShown,
    ),
)
