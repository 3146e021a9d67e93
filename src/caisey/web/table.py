"""The table of pages: every address of the console.

Owns the list alone. The application and the tests of every page are made from it.
"""

from __future__ import annotations

from typing import Final

from caisey.web.page import OpenPage, Page
from caisey.web.pages import account, keys, sign_in

PAGES: Final[tuple[Page, ...]] = (
    *account.PAGES,
    *keys.PAGES,
)

OPEN_PAGES: Final[tuple[OpenPage, ...]] = (*sign_in.PAGES,)
