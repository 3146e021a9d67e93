"""`docs/tools.md` says what the definitions say."""

from __future__ import annotations

from pathlib import Path

from caisey.tools.catalogue import TOOLS
from caisey.tools.codes import TOOL_CODES
from caisey.tools.docs import page

PAGE = Path(__file__).parents[2] / "docs" / "tools.md"


def test_the_page_is_in_step() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make docs`"


def test_everything_is_on_the_page() -> None:
    text = page()
    for tool in TOOLS:
        assert f"\n## {tool.name}\n" in text
        assert all(f"`{name}`" in text for name in tool.arguments_schema["properties"])
    assert all(f"`{code}`" in text for code in TOOL_CODES)
