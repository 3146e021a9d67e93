"""The table of pages: every address of the console.

Owns the list alone. The application and the tests of every page are made from it.
"""

from __future__ import annotations

from typing import Final

from caisey.web.page import OpenPage, Page
from caisey.web.pages import (
    account,
    attention,
    composer,
    endpoint,
    endpoint_act,
    endpoints,
    keys,
    session,
    session_act,
    session_bytes,
    sessions,
    sign_in,
    strip,
)

PAGES: Final[tuple[Page, ...]] = (
    *account.PAGES,
    *attention.PAGES,
    *endpoint.PAGES,
    *endpoint_act.PAGES,
    *endpoints.PAGES,
    *composer.PAGES,
    *keys.PAGES,
    *session.PAGES,
    *session_act.PAGES,
    *session_bytes.PAGES,
    *sessions.PAGES,
    *strip.PAGES,
)

OPEN_PAGES: Final[tuple[OpenPage, ...]] = (*sign_in.PAGES,)
