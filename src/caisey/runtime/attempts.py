"""The attempts that this runtime has in hand or still has to report, in memory.

Owns what the loops share: the committed record of each, and what is seen of its execution meanwhile. Decides nothing
about starts: the journal does. Gone with a crash, and made again from the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from caisey.protocol.frames import AnyFrame
from caisey.runtime.judge import State
from caisey.runtime.processes import Execution
from caisey.runtime.records import AttemptRecord, Key, same_child


@dataclass(slots=True)
class Entry:
    """One attempt. `record` is always a committed one, with the command's identity once its shim has told it."""

    record: AttemptRecord
    execution: Execution | None = None
    let_go: bool = False
    """The started marker is on disk: only then may `started` be said."""
    written: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, int] = field(default_factory=dict)
    last_output_ms: int | None = None
    started_said: bool = False
    closing: bool = False
    """Its end is being journalled."""

    @property
    def key(self) -> Key:
        return self.record.key


class Attempts:
    """Every entry, and who is to be told when one changes."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._post: Callable[[AnyFrame], None] | None = None
        self._changed: Callable[[Key], None] | None = None

    def attach(self, post: Callable[[AnyFrame], None], changed: Callable[[Key], None]) -> None:
        """A connection is up: frames go to `post`, changes to `changed`."""
        self._post, self._changed = post, changed

    def detach(self) -> None:
        self._post = self._changed = None

    def post(self, frame: AnyFrame) -> None:
        """Say it now, if anyone listens; everything that matters is said again on the next connection."""
        if self._post is not None:
            self._post(frame)

    def changed(self, entry: Entry) -> None:
        """What is known of it has changed; it is reported in order, as fast as the bridge takes it."""
        if self._changed is not None:
            self._changed(entry.key)

    def put(self, record: AttemptRecord) -> Entry:
        """The entry of a record, with the record brought up to date."""
        entry = self._entries.get(record.key)
        if entry is None:
            entry = self._entries[record.key] = Entry(record)
        else:
            entry.record = same_child(record, entry.record)
        return entry

    def get(self, key: Key) -> Entry | None:
        return self._entries.get(key)

    def drop(self, key: Key) -> Entry | None:
        return self._entries.pop(key, None)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def in_flight(self, incarnation: str) -> list[Key]:
        """Received or started, not ended, owned or adopted by this incarnation."""
        live = (State.RECEIVED, State.STARTED)
        return [
            entry.key for entry in self if entry.record.state in live and entry.record.owner_incarnation == incarnation
        ]
