"""Settings: client groups and tools. Members, tokens and policies have files of their own."""

from __future__ import annotations

import json
from typing import Any, Final

from caisey.control.roles import Role
from caisey.web.inside import ApiFault
from caisey.web.page import Page, Reply, render, see_other
from caisey.web.pages.reach import everything
from caisey.web.views.tool_schema import arguments_of
from caisey.web.visit import Visit

GROUPS: Final = "/settings/client-groups"
TOOLS: Final = "/settings/tools"
PAGE_SIZE: Final = 100


async def start(visit: Visit) -> Reply:
    """The first of the settings."""
    return see_other(GROUPS)


async def show_groups(visit: Visit) -> Reply:
    """The list, and the form of a new one."""
    return await _groups(visit)


async def make_group(visit: Visit) -> Reply:
    """One more."""
    name = visit.form.get("name").strip()
    try:
        await visit.inside.post("/client-groups", {"name": name}, key=visit.form.key)
    except ApiFault as fault:
        return await _groups(visit, typed=name, fault=fault)
    return see_other(f"{GROUPS}?saved=1")


async def rename_group(visit: Visit) -> Reply:
    """Another name."""
    name, group_id = visit.form.get("name").strip(), visit.path["client_group_id"]
    try:
        await visit.inside.patch(f"/client-groups/{group_id}", {"name": name}, key=visit.form.key)
    except ApiFault as fault:
        return await _groups(visit, renaming={group_id: name}, fault=fault)
    return see_other(f"{GROUPS}?saved=1")


async def show_tools(visit: Visit) -> Reply:
    """What can be asked of a computer."""
    return render(visit, "tools.html", tools=await everything(visit, "/tools"))


async def show_tool(visit: Visit) -> Reply:
    """One of them, with its schemas."""
    tool = await visit.inside.get(f"/tools/{visit.path['name']}/{visit.path['version']}")
    return render(
        visit,
        "tool.html",
        tool=tool,
        arguments=arguments_of(tool["arguments_schema"]),
        result=arguments_of(tool["result_schema"]) if tool["result_schema"] else [],
        as_json=_pretty,
    )


async def _groups(
    visit: Visit, *, typed: str = "", renaming: dict[str, str] | None = None, fault: ApiFault | None = None
) -> Reply:
    found = await visit.inside.get("/client-groups", limit=PAGE_SIZE, cursor=visit.query.get("cursor"))
    return render(
        visit,
        "client_groups.html",
        status=fault.status if fault else 200,
        groups=found["items"],
        next=found["next"],
        cursor=visit.query.get("cursor"),
        typed=typed,
        renaming=renaming or {},
        may_make=visit.person.may_everywhere(Role.ADMIN),
        fault=fault,
        saved=visit.query.get("saved", ""),
    )


def _pretty(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)


PAGES: Final = (
    Page(method="GET", path="/settings", show=start, nav="settings"),
    Page(method="GET", path=GROUPS, show=show_groups, nav="settings"),
    Page(method="POST", path=GROUPS, show=make_group, role=Role.ADMIN, nav="settings"),
    Page(method="POST", path=f"{GROUPS}/{{client_group_id}}", show=rename_group, role=Role.ADMIN, nav="settings"),
    Page(method="GET", path=TOOLS, show=show_tools, nav="settings"),
    Page(method="GET", path=f"{TOOLS}/{{name}}/{{version}}", show=show_tool, nav="settings"),
)
