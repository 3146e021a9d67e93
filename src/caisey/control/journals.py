"""The marks of the endpoints' journals: the highest `journal_sequence` seen of each (RECOVERY.md §5).

Owns what tells a journal that went back in time from one that did not. A mark is raised by everything a runtime says
(hello, heartbeats, receipts, statements); a hello is judged against the mark as it was before its challenge was sent,
because another runtime may have written to the same journal in the meantime. Must never trust a journal again by
itself: that is a person's decision.

A journal is named by its endpoint and its id: what one computer claims never touches the journal of another.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

RAISES_TOLD_APART: Final = 64  # while handshakes are under way
JOURNALS_PER_ENDPOINT: Final = 64  # a runtime may claim a new id with each hello


class JournalRow(NamedTuple):
    """What is stored of a journal."""

    endpoint_id: str
    journal_id: str
    mark: int
    regressed_since_ms: int | None
    at_ms: int


class Journal:
    """One journal as the control plane knows it."""

    __slots__ = ("endpoint_id", "journal_id", "mark", "raised", "regressed_since_ms")

    def __init__(self, endpoint_id: str, journal_id: str, mark: int = 0, regressed_since_ms: int | None = None) -> None:
        self.endpoint_id = endpoint_id
        self.journal_id = journal_id
        self.mark = mark
        self.regressed_since_ms = regressed_since_ms
        self.raised: list[tuple[int, int]] = []  # (challenges sent by then, the mark before), oldest first

    @property
    def trusted(self) -> bool:
        """Whether its promises may prove `no`."""
        return self.regressed_since_ms is None

    def mark_before(self, challenge: int) -> int:
        """The mark as it was when that challenge was sent."""
        for challenges_sent, before in self.raised:
            if challenges_sent >= challenge:
                return before
        return self.mark

    def row(self, now_ms: int) -> JournalRow:
        """The journal as it is stored."""
        return JournalRow(self.endpoint_id, self.journal_id, self.mark, self.regressed_since_ms, now_ms)


class Journals:
    """All journals. What changed is kept until `take_changes`, so that marks are written in batches."""

    def __init__(self) -> None:
        self._by_endpoint: dict[str, dict[str, Journal]] = {}
        self._challenges_sent = 0
        self._open_challenges: dict[int, None] = {}  # in the order they were sent
        self._changed: dict[tuple[str, str], Journal] = {}

    def load(self, rows: Iterable[JournalRow]) -> None:
        """What the store has. Once, at start."""
        for row in rows:
            journal = Journal(row.endpoint_id, row.journal_id, row.mark, row.regressed_since_ms)
            self._by_endpoint.setdefault(row.endpoint_id, {})[row.journal_id] = journal

    def of(self, endpoint_id: str, journal_id: str) -> Journal:
        """The journal; a new one where it was never heard of. The longest unheard of an endpoint's are forgotten."""
        known = self._by_endpoint.setdefault(endpoint_id, {})
        journal = known.pop(journal_id, None) or Journal(endpoint_id, journal_id)
        known[journal_id] = journal
        if len(known) > JOURNALS_PER_ENDPOINT:
            del known[next(iter(known))]
        return journal

    # -- what was seen, and when -----------------------------------------------------------------------------------

    def challenge_sent(self) -> int:
        """Call before a challenge is sent; the number names the moment for `mark_before`."""
        self._challenges_sent += 1
        self._open_challenges[self._challenges_sent] = None
        return self._challenges_sent

    def challenge_over(self, challenge: int) -> None:
        """Its handshake has ended, well or not."""
        self._open_challenges.pop(challenge, None)

    def seen(self, journal: Journal, sequence: int) -> None:
        """A runtime has said this sequence of its journal. Lower ones change nothing."""
        if sequence <= journal.mark:
            return
        raised = journal.raised
        oldest_open = next(iter(self._open_challenges), None)
        if oldest_open is None:
            raised.clear()
        elif not raised or raised[-1][0] != self._challenges_sent:
            raised[:] = [entry for entry in raised if entry[0] >= oldest_open]
            raised.append((self._challenges_sent, journal.mark))
            if len(raised) > RAISES_TOLD_APART:
                # Two moments become one, with the lower mark: a hello is then judged milder, never harder.
                raised[1:3] = [(raised[2][0], raised[1][1])]
        journal.mark = sequence
        self._change(journal)

    # -- trust ------------------------------------------------------------------------------------------------------

    def went_back(self, journal: Journal, challenge: int, sequence: int) -> bool:
        """Whether a hello's sequence is behind what had been seen before its challenge was sent."""
        return sequence < journal.mark_before(challenge)

    def distrust(self, journal: Journal, sequence: int, now_ms: int) -> None:
        """The journal, or the runtime that writes it, was set back. Its present is where it says it is."""
        journal.mark = sequence
        journal.raised.clear()
        if journal.regressed_since_ms is None:
            journal.regressed_since_ms = now_ms
        self._change(journal)

    def find_again(self, journal: Journal, former: JournalRow) -> None:
        """That it went back could not be written down: the next hello is judged by the mark as it was."""
        journal.mark = max(journal.mark, former.mark)
        journal.regressed_since_ms = former.regressed_since_ms
        self._change(journal)

    def reviewed(self, endpoint_id: str) -> list[Journal]:
        """A person has looked: the endpoint's journals are trusted again. Returns the ones that changed."""
        changed = [j for j in self._by_endpoint.get(endpoint_id, {}).values() if not j.trusted]
        for journal in changed:
            journal.regressed_since_ms = None
            self._change(journal)
        return changed

    def moved(self, journal: Journal, endpoint_id: str) -> Journal:
        """The journal's runtime belongs to another endpoint now: what is known of it goes along."""
        there = self.of(endpoint_id, journal.journal_id)
        self.seen(there, journal.mark)
        if not journal.trusted:
            since = journal.regressed_since_ms
            there.regressed_since_ms = since if there.regressed_since_ms is None else there.regressed_since_ms
        self._change(there)
        return there

    def untrusted_since(self, endpoint_id: str) -> int | None:
        """Since when a journal of the endpoint waits for a person; None: none does."""
        known = self._by_endpoint.get(endpoint_id, {}).values()
        return min((j.regressed_since_ms for j in known if j.regressed_since_ms is not None), default=None)

    # -- what has to be written --------------------------------------------------------------------------------------

    def take_changes(self, now_ms: int) -> list[JournalRow]:
        """What has changed since the last call, once each."""
        rows = [journal.row(now_ms) for journal in self._changed.values()]
        self._changed.clear()
        return rows

    def put_back(self, rows: Iterable[JournalRow]) -> None:
        """The changes could not be written: they are due again."""
        for row in rows:
            self._change(self.of(row.endpoint_id, row.journal_id))

    def _change(self, journal: Journal) -> None:
        self._changed[journal.endpoint_id, journal.journal_id] = journal
