"""The list of shortcuts as a page: what `?` shows, for who has no script or follows a link."""

from __future__ import annotations

from typing import Final

from caisey.web.page import Page, Reply, render
from caisey.web.visit import Visit

SHORTCUTS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "keys.everywhere",
        (
            ("/", "keys.search"),
            ("g a", "keys.attention"),
            ("g e", "keys.endpoints"),
            ("g s", "keys.last_session"),
            ("?", "keys.help"),
            ("Esc", "keys.leave"),
        ),
    ),
    (
        "keys.in_session",
        (
            ("n", "keys.now"),
            ("1 … 5", "keys.nth_action"),
            ("w", "keys.awareness"),
            ("j k", "keys.rows"),
            ("o Enter", "keys.open_row"),
            ("h", "keys.how_we_know"),
            ("e", "keys.edit"),
            ("i c", "keys.composer"),
            ("↑", "keys.history"),
            ("Ctrl Enter", "keys.send"),
            (".", "keys.stop"),
            ("f", "keys.find_output"),
            ("l", "keys.follow"),
            ("y Y", "keys.copy"),
            ("r", "keys.read_new"),
            ("t", "keys.ticket"),
        ),
    ),
    (
        "keys.in_attention",
        (
            ("j k", "keys.rows"),
            ("o", "keys.open_row"),
            ("1", "keys.first_action"),
            ("x", "keys.select"),
            ("a", "keys.take"),
            ("s", "keys.snooze"),
        ),
    ),
)


async def show(visit: Visit) -> Reply:
    """All of them."""
    return render(visit, "keys.html", groups=SHORTCUTS)


PAGES: Final = (Page(method="GET", path="/keys", show=show),)
