"""Finding what an id means, for somebody who may see it, and the SQL that leaves out the rest.

Owns the one answer to an id that one may not see: `resource.not_found`, exactly as for one that does not exist.
A session is seen by its client group; work on it also needs the computer to be in one's sight now.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from caisey.api.call import Call
from caisey.control.access import Principal
from caisey.control.directory import endpoints
from caisey.control.directory.records import Endpoint
from caisey.control.roles import reach
from caisey.core.errors import Fault
from caisey.core.session import Prompt, Session
from caisey.core.tool_call import ToolCall


class FoundPrompt(NamedTuple):
    """A prompt and where it stands."""

    session: Session
    prompt: Prompt


class FoundCall(NamedTuple):
    """A tool call and where it stands."""

    session: Session
    call: ToolCall


async def session(call: Call, session_id: str) -> Session:
    """The session as it is durable."""
    organization_id = call.services.sessions.organization_of(session_id)
    if organization_id != call.principal.organization_id:
        raise Fault("resource.not_found")
    found = await call.services.sessions.read(session_id)
    if found is None:
        raise Fault("resource.not_found")
    call.principal.require_group(found.client_group_id)
    return found


def session_to_work_on(call: Call, session_id: str) -> Session:
    """The session as decided, perhaps not durable yet: to decide by, never to show."""
    sessions = call.services.sessions
    if sessions.organization_of(session_id) != call.principal.organization_id:
        raise Fault("resource.not_found")
    found = sessions.peek(session_id)
    if found is None:
        raise Fault("resource.not_found")
    call.principal.require_group(found.client_group_id)
    workable(call, found)
    return found


async def prompt(call: Call, prompt_id: str) -> FoundPrompt:
    """The prompt and its session."""
    rows = call.services.query("SELECT session_id FROM prompts WHERE prompt_id = ?", (prompt_id,))
    if not rows:
        raise Fault("resource.not_found")
    found = await session(call, str(rows[0][0]))
    if prompt_id not in found.prompts:
        raise Fault("resource.not_found")
    return FoundPrompt(found, found.prompts[prompt_id])


async def tool_call(call: Call, tool_call_id: str) -> FoundCall:
    """The tool call and its session."""
    place = call.services.sessions.session_of_call(tool_call_id)
    if place is None:
        raise Fault("resource.not_found")
    found = await session(call, place[0])
    if tool_call_id not in found.calls:
        raise Fault("resource.not_found")
    return FoundCall(found, found.calls[tool_call_id])


def workable(call: Call, found: Session) -> Endpoint:
    """The session's computer, if the principal may work on it now."""
    return endpoints.find(call.services.directory, call.principal, found.endpoint_id)


def condition_of(table: str = "") -> str:
    """The condition that every table with a client group is read with, for what `in_sight` gives as ?1 and ?2.
    `table`: its name in the statement, where that has several."""
    of = f"{table}." if table else ""
    is_named = f"coalesce({of}client_group_id, '') IN (SELECT value FROM json_each(?2, '$.groups'))"  # noqa: S608  # constants only
    return f"{of}organization_id = ?1 AND (?2 IS NULL OR ({is_named}) = json_extract(?2, '$.only'))"


def in_sight(principal: Principal) -> tuple[str, str | None]:
    """What the principal's role is enough for: in every client group (None), in some only, or in all but some."""
    only, groups = reach(principal, principal.least)
    if not only and not groups:
        return principal.organization_id, None
    return principal.organization_id, msgspec.json.encode({"only": int(only), "groups": groups}).decode()
