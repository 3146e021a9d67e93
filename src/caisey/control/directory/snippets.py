"""Snippets: commands that an organization keeps for its composer.

Owns their life and their number. A snippet is text to start from; nothing is ever sent from here.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from caisey.control.access import Principal
from caisey.control.directory.records import Snippet
from caisey.control.directory.store import Directory, Draft
from caisey.core import ids
from caisey.core.errors import Fault

MOST: Final = 500


def visible(directory: Directory, principal: Principal) -> list[Snippet]:
    """Those of the organization, by name."""
    found = [
        snippet
        for snippet in directory.snippets.values()
        if snippet.organization_id == principal.organization_id and snippet.removed_at_ms is None
    ]
    return sorted(found, key=lambda snippet: (snippet.name.casefold(), snippet.snippet_id))


def create(
    directory: Directory, draft: Draft, principal: Principal, *, name: str, tool: str, command: str, effect: str | None
) -> Snippet:
    """A new snippet. Raises `snippet.name_taken`, `snippet.too_many`."""
    present = visible(directory, principal)
    if any(snippet.name.casefold() == name.casefold() for snippet in present):
        raise Fault("snippet.name_taken")
    if len(present) >= MOST:
        raise Fault("snippet.too_many")
    snippet = Snippet(
        snippet_id=draft.new_id(ids.SNIPPET),
        organization_id=principal.organization_id,
        name=name,
        tool=tool,
        command=command,
        effect=effect,
        created_by=principal.id,
        created_at_ms=draft.at_ms,
    )
    draft.note("snippet.created", snippet_id=snippet.snippet_id, name=name, tool=tool, command=command, effect=effect)
    return draft.save(snippet)


def remove(directory: Directory, draft: Draft, principal: Principal, snippet_id: str) -> None:
    """Raises `resource.not_found`."""
    snippet = directory.snippets.get(snippet_id)
    if snippet is None or snippet not in visible(directory, principal):
        raise Fault("resource.not_found")
    draft.note("snippet.removed", snippet_id=snippet_id)
    draft.save(replace(snippet, removed_at_ms=draft.at_ms))
