"""Who waits for new events, and the word that there are some.

Owns the watches. A nudge carries nothing: whoever is nudged reads the log, which has every event once and in order, so
a stream can neither lose nor double one. `NudgingLog` gives a nudge after each COMMIT, for every way into the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from caisey.storage.contract import Appended, Entry, Log, Write


class Nudges:
    """Watches by organization and by session."""

    def __init__(self) -> None:
        self._watches: dict[str, set[asyncio.Event]] = {}

    @contextmanager
    def watch(self, subject: str) -> Iterator[asyncio.Event]:
        """An event that is set after each COMMIT that concerns `subject`, an organization's or a session's id.

        Whoever waits clears it first, then reads the log, then waits: what is committed in between sets it again.
        """
        nudge = asyncio.Event()
        watches = self._watches.setdefault(subject, set())
        watches.add(nudge)
        try:
            yield nudge
        finally:
            watches.discard(nudge)
            if not watches:
                self._watches.pop(subject, None)

    def give(self, subjects: set[str]) -> None:
        """Something about these was committed."""
        for subject in subjects:
            for nudge in self._watches.get(subject, ()):
                nudge.set()


class NudgingLog:
    """A log that gives nudges. Everything else is the log's own."""

    def __init__(self, log: Log, nudges: Nudges) -> None:
        self._log = log
        self._nudges = nudges
        self.next_sequence = log.next_sequence
        self.on_failure = log.on_failure
        self.query_now = log.query_now
        self.query = log.query
        self.newest_of_session = log.newest_of_session
        self.newest_of_organization = log.newest_of_organization
        self.read_session = log.read_session
        self.read_organization = log.read_organization
        self.read_positions = log.read_positions
        self.search_organization = log.search_organization
        self.sign_heads = log.sign_heads
        self.health = log.health
        self.close = log.close

    def append(self, entries: Sequence[Entry], writes: Sequence[Write] = ()) -> Appended:
        """See `Log.append`."""
        appended = self._log.append(entries, writes)
        if entries:
            subjects = {
                subject for entry in entries for subject in (entry.organization_id, entry.session_id) if subject
            }
            appended.committed.add_done_callback(self._after(subjects))
        return appended

    def _after(self, subjects: set[str]) -> Callable[[asyncio.Future[None]], None]:
        def committed(done: asyncio.Future[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._nudges.give(subjects)

        return committed
