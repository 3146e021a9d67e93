"""The table of pages: every address of the console.

Owns the list alone. The application and the tests of every page are made from it.
"""

from __future__ import annotations

from typing import Final

from caisey.web.page import OpenPage, Page
from caisey.web.pages import (
    account,
    adding,
    attention,
    audit,
    composer,
    endpoint,
    endpoint_act,
    endpoints,
    keys,
    members,
    passkeys,
    policies,
    reports,
    session,
    session_act,
    session_bytes,
    sessions,
    settings,
    sign_in,
    strip,
    tokens,
)

PAGES: Final[tuple[Page, ...]] = (
    *account.PAGES,
    *adding.PAGES,
    *attention.PAGES,
    *audit.PAGES,
    *endpoint.PAGES,
    *endpoint_act.PAGES,
    *endpoints.PAGES,
    *composer.PAGES,
    *keys.PAGES,
    *reports.PAGES,
    *members.PAGES,
    *passkeys.PAGES,
    *policies.PAGES,
    *session.PAGES,
    *session_act.PAGES,
    *session_bytes.PAGES,
    *sessions.PAGES,
    *settings.PAGES,
    *strip.PAGES,
    *tokens.PAGES,
)

OPEN_PAGES: Final[tuple[OpenPage, ...]] = (*sign_in.PAGES,)
