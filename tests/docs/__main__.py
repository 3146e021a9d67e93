"""`make docs`: write every generated page anew."""

from __future__ import annotations

from tests.docs.pages import DOCS, PAGES

for name, page in PAGES.items():
    (DOCS / name).write_text(page(), encoding="utf-8")
    print(f"docs/{name}")
