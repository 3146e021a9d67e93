"""An endpoint's journal, in memory: RECOVERY.md §5, written from the page alone.

Owns the rows, the order of records (`journal_sequence`) and the judgement of a dispatch. It outlives every simulated
restart of the runtimes that share it, and can be set back to a snapshot, as a restored disk would be. It never speaks.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.foreign.wire import Attempt, Frame, attempt_of, canonical_digest, fresh_id, named

State = Literal["received", "started", "process_gone", "finished", "superseded", "closed"]
LAST_WORDS = frozenset({"process_gone", "finished", "superseded", "closed"})
Judgement = Literal["take", "take_up_again", "repeat", "lower", "closed", "changed_refuse", "changed_problem", "noted"]


class ClaimFailedError(Exception):
    """Withdrawn, superseded or taken up by another incarnation: the command is not let go."""


@dataclass
class Record:
    """What is known of one attempt. `receipts` are kept as they were sent, so that they can be repeated."""

    attempt: Attempt
    consent: int
    state: State
    sequence: int
    owner: Frame
    receipts: dict[str, Frame] = field(default_factory=dict)
    alive: bool = False
    settled: bool = False
    why: str | None = None
    code: str | None = None
    process: Frame = field(default_factory=dict)
    execution: Any = None
    streams: dict[str, bytearray] = field(default_factory=dict)
    confirmed: dict[str, int] = field(default_factory=dict)

    @property
    def started(self) -> bool:
        return self.state in ("started", "process_gone", "finished")


@dataclass
class Row:
    """One tool call: the highest number, the consents that started, the digest of its arguments, its records."""

    arguments: str
    highest: int = 0
    consents: set[int] = field(default_factory=set)
    closed_up_to: int = 0
    records: dict[int, Record] = field(default_factory=dict)


@dataclass
class Journal:
    journal_id: str = field(default_factory=lambda: fresh_id("jrn"))
    sequence: int = 0
    rows: dict[str, Row] = field(default_factory=dict)
    starts: list[tuple[str, int, int]] = field(default_factory=list)
    """(tool call, number, consent) of every command that was really let go: the truth, for tests to compare with."""
    live: set[str] = field(default_factory=set)
    """The incarnations that live beside this journal: the lock that a real one would look at."""

    def snapshot(self) -> Journal:
        return copy.deepcopy(self)

    def set_back(self, snapshot: Journal) -> None:
        """The disk is as it was: rows and sequence; every process that began since is unknown to it."""
        older = copy.deepcopy(snapshot)
        self.journal_id, self.sequence, self.rows = older.journal_id, older.sequence, older.rows

    def write(self) -> int:
        self.sequence += 1
        return self.sequence

    # -- reading -----------------------------------------------------------------------------------------------

    def record(self, attempt: Attempt) -> Record | None:
        row = self.rows.get(attempt[0])
        return row.records.get(attempt[1]) if row else None

    def unsettled(self) -> list[Record]:
        return [r for row in self.rows.values() for r in row.records.values() if not r.settled]

    def started(self, tool_call_id: str, consent: int) -> Record | None:
        """The attempt that ran this consent, if any."""
        row = self.rows.get(tool_call_id)
        found = [r for r in row.records.values() if r.consent == consent and r.started] if row else []
        return found[0] if found else None

    def judge(self, dispatch: Frame, incarnation: str) -> Judgement:
        """The table of §5: the first row that fits. Writes nothing."""
        tool_call_id, number = attempt_of(dispatch)
        consent, digest = dispatch["consent"], canonical_digest(dispatch["arguments"])
        row = self.rows.get(tool_call_id)
        if row is None:
            return "take"
        record = row.records.get(number)
        if number < row.highest or (record and record.state == "superseded"):
            return "lower"
        if number <= row.closed_up_to or (record and record.state == "closed"):
            return "closed"
        if row.arguments and row.arguments != digest:
            fresh = record is None and consent not in row.consents
            return "changed_refuse" if fresh else "changed_problem"
        if record is not None:
            gone = record.state == "received" and record.owner["incarnation"] not in {incarnation, *self.live}
            return "take_up_again" if gone else "repeat"
        if consent in row.consents or any(r.alive for r in row.records.values()):
            return "noted"
        return "take"

    # -- writing -----------------------------------------------------------------------------------------------

    def receive(self, dispatch: Frame, owner: Frame) -> Record:
        attempt = attempt_of(dispatch)
        row = self.rows.setdefault(attempt[0], Row(canonical_digest(dispatch["arguments"])))
        row.arguments = row.arguments or canonical_digest(dispatch["arguments"])
        for lower in row.records.values():
            if lower.state == "received" and lower.attempt[1] < attempt[1]:
                lower.state, lower.sequence = "superseded", self.write()
        record = Record(attempt, dispatch["consent"], "received", self.write(), owner)
        row.records[attempt[1]] = record
        row.highest = max(row.highest, attempt[1])
        return record

    def claim(self, record: Record, owner: Frame, process: Frame) -> None:
        """The compare-and-set from received to started, on the attempt and the incarnation that owns it."""
        if record.state != "received" or record.owner != owner:
            raise ClaimFailedError(f"{record.attempt} is {record.state}, owned by {record.owner}")
        record.state, record.sequence, record.process, record.alive = "started", self.write(), process, True
        self.rows[record.attempt[0]].consents.add(record.consent)
        self.starts.append((*record.attempt, record.consent))

    def finish(self, record: Record, execution: Any) -> None:
        record.state, record.sequence, record.alive = "finished", self.write(), False
        record.execution = execution

    def note(self, attempt: Attempt, consent: int, owner: Frame, state: State = "superseded") -> Record:
        """Notes a number that runs nothing: superseded, or closed for ever."""
        row = self.rows.setdefault(attempt[0], Row(""))
        record = row.records.get(attempt[1])
        if record is None:
            record = row.records[attempt[1]] = Record(attempt, consent, state, self.write(), owner)
        row.highest = max(row.highest, attempt[1])
        return record

    def close(self, attempt: Attempt, consent: int, owner: Frame, why: str, code: str | None = None) -> Record:
        """The closing record, up to and with this number, before any promise is said."""
        row = self.rows.setdefault(attempt[0], Row(""))
        for record in row.records.values():
            if record.state == "received" and record.attempt[1] <= attempt[1]:
                record.state, record.sequence, record.why = "closed", self.write(), why
        record = self.note(attempt, consent, owner, "closed")
        record.why, record.code = why, code
        row.closed_up_to = max(row.closed_up_to, attempt[1])
        return record

    def lose_processes(self, runtime_id: str) -> None:
        """Every command of that runtime is dead, and nothing wrote its end."""
        for record in self.unsettled():
            if record.owner["runtime_id"] == runtime_id:
                record.alive = False

    # -- what it says --------------------------------------------------------------------------------------------

    def statement(self, record: Record, *, answers: Attempt | None = None, state: str | None = None) -> Frame:
        if record.state == "started" and not record.alive:
            record.state, record.sequence = "process_gone", self.write()
        said: Frame = {
            "type": "statement",
            "attempt": named(record.attempt),
            "state": state or record.state,
            "journal_id": self.journal_id,
            "journal_sequence": record.sequence,
            "offsets": {name: len(data) for name, data in record.streams.items()},
        }
        if answers:
            said["answers"] = named(answers)
        if record.state in ("received", "started"):
            said["owner"] = record.owner
        if record.started:
            said.update({k: v for k, v in record.process.items() if k in ("pid", "process_key")})
        if record.state == "finished":
            said["execution"] = record.execution
        if record.state == "closed":
            said["why"] = record.why
        if record.code:
            said["code"] = record.code
        return said

    def promise(self, attempt: Attempt, consent: int, owner: Frame, why: str) -> Frame:
        """The answer to `reconcile` or `cancel` about what did not start: a promise, where one may be given."""
        record = self.record(attempt)
        ran = self.started(attempt[0], consent)
        row = self.rows.get(attempt[0])
        if record is None and ran is not None:
            self.note(attempt, consent, owner)
            return self.statement(ran, answers=attempt)
        if record is None and row is not None and attempt[1] < row.highest:
            return self.statement(self.note(attempt, consent, owner))
        never = record is None and why == "reconcile"
        if record is None or record.state == "received":
            record = self.close(attempt, consent, owner, why)
        return self.statement(record, state="never_received" if never else None)
