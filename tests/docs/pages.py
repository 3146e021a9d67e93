"""The pages of `docs/` that are made from the code, and who makes each. `make docs` writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from caisey.tools import docs as tools

DOCS: Final = Path(__file__).parents[2] / "docs"

PAGES: Final[dict[str, Callable[[], str]]] = {
    "tools.md": tools.page,
}
