"""The route table: every line of the API, with its least role.

Owns the list alone. The server, the OpenAPI document and the tests of access are all made from it.
"""

from __future__ import annotations

from typing import Final

from caisey.api.call import Route
from caisey.api.routes import (
    actions,
    attention,
    audit,
    client_groups,
    endpoint_history,
    endpoints,
    enrollment_tokens,
    events,
    handover,
    me,
    passkeys,
    prompts,
    reports,
    sessions,
    snippets,
    stopping,
    tokens,
    tools,
)

ROUTES: Final[tuple[Route, ...]] = (
    *enrollment_tokens.ROUTES,
    *tokens.ROUTES,
    *me.ROUTES,
    *passkeys.ROUTES,
    *endpoint_history.ROUTES,
    *endpoints.ROUTES,
    *client_groups.ROUTES,
    *sessions.ROUTES,
    *handover.ROUTES,
    *stopping.ROUTES,
    *prompts.ROUTES,
    *actions.ROUTES,
    *events.ROUTES,
    *tools.ROUTES,
    *snippets.ROUTES,
    *attention.ROUTES,
    *reports.ROUTES,
    *audit.ROUTES,
)
