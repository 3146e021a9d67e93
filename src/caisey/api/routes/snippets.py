"""`/snippets`: commands that an organization keeps for its composer.

Owns the mapping.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caisey.api.call import Answer, Call, Route
from caisey.api.fields import Name
from caisey.api.pages import Page, PageQuery, page_in_memory
from caisey.api.times import at
from caisey.control.directory import snippets
from caisey.control.directory.records import Snippet
from caisey.control.directory.store import Draft
from caisey.control.roles import Role

Command = Annotated[str, Meta(min_length=1, max_length=16_384, pattern=r"^[^\x00]*$(?!\n)")]


class SnippetBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`effect` is stated with the call, as a person may for a shell; absent: it may change things."""

    name: Name
    tool: Literal["shell", "powershell", "osascript"]
    command: Command
    effect: Literal["read_only", "idempotent", "mutating"] | None = None


class SnippetShown(msgspec.Struct, frozen=True, kw_only=True):
    """One of them."""

    id: str
    name: str
    tool: str
    command: str
    effect: str | None
    created_by: str
    created_at: str


async def list_snippets(call: Call) -> Answer:
    found = snippets.visible(call.services.directory, call.principal)
    return Answer(page_in_memory(found, call.query, _order, _shown))


def create(call: Call, draft: Draft) -> Answer:
    body: SnippetBody = call.body
    made = snippets.create(
        call.services.directory,
        draft,
        call.principal,
        name=body.name,
        tool=body.tool,
        command=body.command,
        effect=body.effect,
    )
    return Answer(_shown(made), 201)


def remove(call: Call, draft: Draft) -> Answer:
    snippets.remove(call.services.directory, draft, call.principal, call.path["snippet_id"])
    return Answer(status=204)


def _order(snippet: Snippet) -> tuple[str, str]:
    return snippet.name.casefold(), snippet.snippet_id


def _shown(snippet: Snippet) -> SnippetShown:
    return SnippetShown(
        id=snippet.snippet_id,
        name=snippet.name,
        tool=snippet.tool,
        command=snippet.command,
        effect=snippet.effect,
        created_by=snippet.created_by,
        created_at=at(snippet.created_at_ms),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/snippets",
        role=Role.VIEWER,
        summary="Commands that the organization keeps for its composer, by name",
        read=list_snippets,
        query=PageQuery,
        answers=Page[SnippetShown],
    ),
    Route(
        method="POST",
        path="/snippets",
        role=Role.TECHNICIAN,
        summary="Keep a command",
        change=create,
        body=SnippetBody,
        status=201,
        answers=SnippetShown,
    ),
    Route(
        method="DELETE",
        path="/snippets/{snippet_id}",
        role=Role.TECHNICIAN,
        summary="Remove a command; the log keeps it",
        change=remove,
        status=204,
    ),
)
