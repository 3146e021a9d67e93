"""Every page of the console that can be looked at, from the console's own table.

Owns what stands for the places in a path. A page that is added to the table and has no place here is found by the test.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from caisey.web.page import OpenPage, Page
from caisey.web.table import OPEN_PAGES, PAGES

PARTS: Final = frozenset({"/reports/csv", "/sessions/{session_id}/history", "/sessions/{session_id}/parts"})
"""Answered to our own script, or kept as a file; no pages."""
MOVES: Final = frozenset({"/", "/settings/policies/open-tag"})
"""These only lead elsewhere."""
QUERIES: Final[Mapping[str, str]] = {"/open": "?host=nobody", "/settings/policies/tag": "?tag=production"}


def paths(places: Mapping[str, str]) -> Iterator[str]:
    """All of them. `places`: session_id, tool_call_id, endpoint_id, member_id, token_id, text."""
    known = {"level": "organization", "subject": "-", "name": "shell", "version": "1", **places}
    pages: tuple[Page | OpenPage, ...] = (*PAGES, *OPEN_PAGES)
    for page in pages:
        if page.method == "GET" and page.path not in PARTS | MOVES:
            yield page.path.format(**known) + QUERIES.get(page.path, "")
