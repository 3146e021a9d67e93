"""Names that a shell offers while a command line is typed: computers and sessions of the control plane.

Owns what may be asked of the network between two keystrokes: one page, within half a second, and silence on any fault.
"""

from __future__ import annotations

import os
from typing import Any

WITHIN_S = 0.5
OFFERED = 50

Offers = list[tuple[str, str]]


def complete_endpoint(incomplete: str) -> Offers:
    """Names of computers, with their state."""
    found = _first_page("/endpoints", q=incomplete or None)
    return [(str(item["name"]), str(item.get("health") or "")) for item in found if _plain(item.get("name"))]


def complete_session(incomplete: str) -> Offers:
    """Ids of sessions, with their titles."""
    return [(str(item["id"]), str(item.get("title") or "")) for item in _first_page("/sessions")]


def complete_action(incomplete: str) -> Offers:
    """The recovery actions."""
    return [(name, "") for name in ACTIONS]


ACTIONS = (
    "retry", "requeue", "resume", "reroute", "hold", "release", "verify", "adjust", "escalate", "accept_partial",
    "cancel", "input",
)  # fmt: skip


def _plain(name: Any) -> bool:
    """A name that a shell can take in as one word."""
    return isinstance(name, str) and name.isprintable() and not any(c in name for c in " '\"$`\\;&|<>(){}*?!~#\t")


def _first_page(path: str, **query: Any) -> list[dict[str, Any]]:
    from caisey.cli.client import Api
    from caisey.cli.faults import CliFault
    from caisey.cli.profiles import resolve

    try:
        with Api(resolve(os.environ), timeout_s=WITHIN_S) as api:
            page = api.get(path, limit=OFFERED, **query)
            return [item for item in page["items"] if isinstance(item, dict)]
    except (CliFault, KeyError, TypeError):
        return []
