"""Finding computers by what people know of them: name, signed-in user, address, serial, client group, tag.

Owns one text per endpoint, in lower case, made when it is first asked for and forgotten when something in it changes.
Tickets are not here: they belong to sessions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from caisey.control.directory import facts
from caisey.control.directory.records import ClientGroup, Endpoint, Fact, Record
from caisey.control.directory.store import Directory

FACTS: Final = ("signed_in_users", "addresses", "serial", "hostname")
_BETWEEN: Final = "\n"


class SearchTexts:
    """See the module."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._texts: dict[str, str] = {}
        directory.subscribe(self._changed)

    def matching(self, endpoints: Iterable[Endpoint], asked: str) -> Iterator[Endpoint]:
        """Those in which every word of `asked` occurs, in any case."""
        words = asked.casefold().split()
        texts = self._texts
        for endpoint in endpoints:
            text = texts.get(endpoint.endpoint_id) or self._make(endpoint)
            if all(word in text for word in words):
                yield endpoint

    def _make(self, endpoint: Endpoint) -> str:
        text = _BETWEEN.join(self._parts(endpoint)).casefold()
        self._texts[endpoint.endpoint_id] = text
        return text

    def _parts(self, endpoint: Endpoint) -> Iterator[str]:
        yield endpoint.name
        yield from endpoint.tags
        group = self._directory.client_groups.get(endpoint.client_group_id or "")
        if group is not None:
            yield group.name
        known = facts.known(self._directory, endpoint)
        for name in FACTS:
            value = known[name].value if name in known else None
            if isinstance(value, str):
                yield value
            elif isinstance(value, list):
                yield from (str(item) for item in value)

    def _changed(self, records: tuple[Record, ...]) -> None:
        for record in records:
            if isinstance(record, Endpoint | Fact):
                self._texts.pop(record.endpoint_id, None)
            elif isinstance(record, ClientGroup):
                self._texts.clear()
