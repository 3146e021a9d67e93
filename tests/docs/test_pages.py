"""Every generated page is in step with the code."""

from __future__ import annotations

import pytest

from tests.docs.pages import DOCS, PAGES


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_is_in_step(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), "run `make docs`"
