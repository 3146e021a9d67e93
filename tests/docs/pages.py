"""The pages of `docs/` that are made from the code, and who makes each. `make docs` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from caisey.cli import reference as cli
from caisey.core import reference as core
from caisey.tools import docs as tools

DOCS: Final = Path(__file__).parents[2] / "docs"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "cli.md": cli.page,
    "errors.md": core.errors_page,
    "states.md": core.states_page,
    "tools.md": tools.page,
}
