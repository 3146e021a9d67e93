"""The words of the console's own pages, by id: one catalogue, ready for translation.

Owns what pages say around the facts; one file for each group of pages, put together here. What is said of work (labels,
sentences, actions) is the core's catalogue and comes with the API's documents. Scripts get their words from here too,
through `data-` attributes.
"""

from __future__ import annotations

from typing import Final

from caisey.web.words.account import ACCOUNT
from caisey.web.words.composer import COMPOSER
from caisey.web.words.frame import FRAME
from caisey.web.words.lists import LISTS
from caisey.web.words.session import SESSION
from caisey.web.words.settings import SETTINGS


def _together(*groups: dict[str, str]) -> dict[str, str]:
    """One catalogue. Raises ValueError where two groups use one id: the second would speak for the first."""
    found: dict[str, str] = {}
    for group in groups:
        twice = sorted(found.keys() & group.keys())
        if twice:
            raise ValueError(f"words that stand in two groups: {twice}")
        found |= group
    return found


WORDS: Final[dict[str, str]] = _together(FRAME, ACCOUNT, SETTINGS, SESSION, LISTS, COMPOSER)


def word(key: str, /, **values: object) -> str:
    """The words of `key`, with its places filled."""
    return WORDS[key].format(**values) if values else WORDS[key]
