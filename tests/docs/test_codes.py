"""Every dotted code is in the catalogue, so on the page, and every one on the page is used."""

from __future__ import annotations

import re
from pathlib import Path

import caisey
from caisey.core.errors import CODES

SOURCES = {
    path: path.read_text(encoding="utf-8")
    for path in Path(caisey.__file__).parent.rglob("*.py")
    if path.parts[-2:] != ("core", "errors.py")
}
RAISED = re.compile(r"""\b(?:Fault|Refusal|shape_fault)\(\s*["']([a-z_]+\.[a-z_]+)["']""")


def test_every_code_that_is_raised_or_refused_with_is_in_the_catalogue() -> None:
    used = {code: path.name for path, text in SOURCES.items() for code in RAISED.findall(text)}
    cli = {code for code in used if code.startswith("cli.")}
    assert used.keys() - cli <= CODES.keys(), {c: used[c] for c in used.keys() - cli - CODES.keys()}


def test_every_code_of_the_catalogue_is_used() -> None:
    everything = "\n".join(SOURCES.values())
    assert [code for code in CODES if f'"{code}"' not in everything and f"'{code}'" not in everything] == []


def test_a_code_says_what_and_what_to_do() -> None:
    for code, meaning in CODES.items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", code)
        assert meaning.title, code
        assert not meaning.title.endswith("."), code
        assert meaning.hint.endswith("."), code
        assert meaning.status == 0 or 400 <= meaning.status <= 599, code
