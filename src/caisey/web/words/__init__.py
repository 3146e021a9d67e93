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

WORDS: Final[dict[str, str]] = {**FRAME, **ACCOUNT, **SETTINGS, **SESSION, **LISTS, **COMPOSER}


def word(key: str, /, **values: object) -> str:
    """The words of `key`, with its places filled."""
    return WORDS[key].format(**values) if values else WORDS[key]
