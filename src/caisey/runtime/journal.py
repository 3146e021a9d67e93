"""The endpoint's own crash-safe record of every attempt it was given (RECOVERY.md §5).

Owns what is written: every method is one operation inside the caller's transaction (`writer` groups them), reads the
rows it judges in that transaction, and decides with `judge`. Says nothing and starts nothing: what may be said is made
from what it returns, after the commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from caisey.protocol.frames import Owner
from caisey.runtime import judge
from caisey.runtime.database import Database
from caisey.runtime.judge import Asked, Close, EndTree, Judgement, Say, State, TakeUpAgain
from caisey.runtime.processes import Census, End, Shelter
from caisey.runtime.records import COLUMNS, KNOWN_END, AttemptRecord, Key, born, record_of

_SELECT: Final = f"SELECT {', '.join(COLUMNS)} FROM attempts"  # noqa: S608  (a constant list of columns)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a runtime would rather not take a dispatch; used only where the table says that it takes it."""

    code: str
    hint: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was judged and written. `record` is the one to speak of; `asked` the attempt that was asked about."""

    asked: Key
    judgement: Judgement | EndTree
    record: AttemptRecord
    others: tuple[AttemptRecord, ...] = ()
    """Lower attempts of the same tool call that it closed or superseded."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """How a command runs, for the `started` receipt."""

    user: str | None
    cwd: str | None
    interpreter: str | None


class Journal:
    """The journal as one incarnation of a runtime sees it. Several may share the file."""

    def __init__(self, database: Database, census: Census, me: Owner) -> None:
        self._database = database
        self._census = census
        self._me = me
        self.journal_id = database.journal_id

    def sequence(self) -> int:
        return self._database.sequence()

    # -- judged frames ------------------------------------------------------------------------------------------------

    def dispatch(self, tool_call_id: str, asked: Asked, refusal: Refusal | None = None) -> Outcome:
        """Judge a dispatch by the table of RECOVERY.md §5 and write what follows."""
        row, alive = self._row(tool_call_id)
        judgement = judge.judge(row, asked, alive)
        if refusal is not None:
            judgement = judge.refused(judgement, refusal.code)
        return self._write(tool_call_id, row, asked, judgement, refusal.hint if refusal else None)

    def reconcile(self, tool_call_id: str, asked: Asked) -> Outcome:
        """The journal's word about an attempt, or a promise about one that it never saw."""
        row, _ = self._row(tool_call_id)
        return self._write(tool_call_id, row, asked, judge.answer(row, asked))

    def cancel(self, tool_call_id: str, asked: Asked) -> Outcome:
        """Close what has not started; say of what has whether its tree is to be ended."""
        row, _ = self._row(tool_call_id)
        return self._write(tool_call_id, row, asked, judge.cancel(row, asked))

    def refuse_waiting(self, key: Key, refusal: Refusal) -> AttemptRecord | None:
        """Close one that waits here, as refused. `None`: it is not ours any more, or does not wait."""
        record = self.record(key)
        if record is None or record.state is not State.RECEIVED or record.owner != self._me:
            return None
        row, _ = self._row(key.tool_call_id)
        asked = Asked(key.number, record.consent)
        close = Close(judge.Why.REFUSED, refusal.code, unknown=False)
        return self._write(key.tool_call_id, row, asked, close, refusal.hint).record

    def _row(self, tool_call_id: str) -> tuple[judge.Row, bool]:
        """The row to judge, with what the operating system can tell written down first; and whether it is alive."""
        records = [self._looked_at(record) for record in self._records(tool_call_id)]
        call = self._database.execute(
            "SELECT highest, arguments_sha256 FROM tool_calls WHERE tool_call_id = ?", (tool_call_id,)
        ).fetchone()
        if call is None:
            return judge.Row(), False
        consents = self._database.execute("SELECT consent FROM consents WHERE tool_call_id = ?", (tool_call_id,))
        row = judge.Row(
            highest=call[0],
            consents=frozenset(consent for (consent,) in consents),
            arguments_sha256=call[1],
            records={
                record.number: judge.Record(record.state, record.consent, owner_gone=self._owner_gone(record))
                for record in records
            },
        )
        return row, any(record.state is State.STARTED for record in records)

    def _owner_gone(self, record: AttemptRecord) -> bool:
        if record.state is not State.RECEIVED or record.owner == self._me:
            return False
        return not self._census.incarnation_lives(record.owner_runtime or "", record.owner_incarnation or "")

    def _write(
        self, tool_call_id: str, row: judge.Row, asked: Asked, judgement: Judgement | EndTree, hint: str | None = None
    ) -> Outcome:
        after = judge.applied(row, asked, judgement)
        if after != row:
            self._database.execute(
                "INSERT INTO tool_calls VALUES (?, ?, ?) ON CONFLICT (tool_call_id) DO UPDATE"
                " SET highest = excluded.highest, arguments_sha256 = excluded.arguments_sha256",
                (tool_call_id, after.highest, after.arguments_sha256),
            )
        changed = judge.written(row, asked, judgement)
        for number, state in sorted(changed.items()):
            key = Key(tool_call_id, number)
            reason = judgement if state is State.CLOSED and isinstance(judgement, Close) else None
            self._change(key, state, after.records[number].consent, reason, hint)
        if isinstance(judgement, TakeUpAgain):
            self._own(Key(tool_call_id, asked.number))
        number = judgement.number if isinstance(judgement, Say) else asked.number
        record = self.record(Key(tool_call_id, number))
        if record is None:
            raise LookupError(f"{judgement} speaks of an attempt that is not in the journal")
        others = tuple(self._known(Key(tool_call_id, number)) for number in changed if number != asked.number)
        return Outcome(Key(tool_call_id, asked.number), judgement, record, others)

    def _change(self, key: Key, state: State, consent: int, reason: Close | None, hint: str | None) -> None:
        sequence = self._database.next_sequence()
        received = state is State.RECEIVED
        why, code = (reason.why, reason.code) if reason is not None else (None, None)
        self._database.execute(
            "INSERT INTO attempts (tool_call_id, number, consent, state, sequence, received_sequence, owner_runtime,"
            " owner_incarnation, why, code, hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (tool_call_id, number) DO UPDATE SET state = excluded.state, sequence = excluded.sequence,"
            " why = excluded.why, code = excluded.code, hint = excluded.hint, settled = 0",
            (
                *key, consent, state, sequence, sequence if received else None,
                self._me.runtime_id if received else None, self._me.incarnation if received else None,
                why, code, hint if reason is not None else None,
            ),
        )  # fmt: skip

    def _own(self, key: Key) -> None:
        self._database.execute(
            "UPDATE attempts SET owner_runtime = ?, owner_incarnation = ?, sequence = ?,"
            " received_sequence = CASE state WHEN 'received' THEN ? ELSE received_sequence END"
            " WHERE tool_call_id = ? AND number = ?",
            (self._me.runtime_id, self._me.incarnation, *[self._database.next_sequence()] * 2, *key),
        )

    # -- starting and ending ------------------------------------------------------------------------------------------

    def claim(self, key: Key, shelter: Shelter, around: Surroundings) -> AttemptRecord | None:
        """From received to started, once: a compare-and-set on tool call, number and this incarnation.

        The shim that waits for go is written with it. `None`: nothing may be let go.
        """
        row, _ = self._row(key.tool_call_id)
        if judge.claimed(row, key.number) is None:
            return None
        sequence = self._database.next_sequence()
        claimed = self._database.execute(
            "UPDATE attempts SET state = 'started', sequence = ?, started_sequence = ?, shim_pid = ?, shim_key = ?,"
            " spool = ?, cgroup = ?, user = ?, cwd = ?, interpreter = ? WHERE tool_call_id = ? AND number = ?"
            " AND state = 'received' AND owner_runtime = ? AND owner_incarnation = ?",
            (
                sequence, sequence, shelter.shim.pid, shelter.shim.key, shelter.spool,
                shelter.cgroup, around.user, around.cwd, around.interpreter,
                *key, self._me.runtime_id, self._me.incarnation,
            ),
        )  # fmt: skip
        if claimed.rowcount != 1:
            return None
        consent = row.records[key.number].consent
        self._database.execute("INSERT INTO consents VALUES (?, ?, ?)", (key.tool_call_id, consent, key.number))
        return self.record(key)

    def look(self, key: Key) -> AttemptRecord | None:
        """An attempt, after the end record was looked for and its processes were asked for."""
        record = self.record(key)
        return self._looked_at(record) if record is not None else None

    def _looked_at(self, record: AttemptRecord) -> AttemptRecord:
        """Write what became of a started one. `process_gone` only when both are dead and there is no end record."""
        if record.state is not State.STARTED:
            return record
        shelter = record.shelter
        end = self._census.end_record(shelter.spool)
        if end is None and self._census.alive(shelter.shim):
            return self._with_child(record)
        record = self._with_child(record)  # a dead shim writes no more: what it wrote of its child is all there is
        if end is None:
            if self._child_lives(record):
                return record
            end = self._census.end_record(shelter.spool)
        return self._ended(record, end)

    def _child_lives(self, record: AttemptRecord) -> bool:
        shelter = record.shelter
        return self._census.alive(shelter.child) if shelter.child is not None else self._census.strays(shelter.shim)

    def _with_child(self, record: AttemptRecord) -> AttemptRecord:
        """The record with who its command is, which the shim wrote down when it let it go."""
        seen = self._census.child_of(record.shelter.spool) if record.pid is None else None
        if seen is None:
            return record
        self._database.execute(
            "UPDATE attempts SET pid = ?, process_key = ?, process_started_ms = ?"
            " WHERE tool_call_id = ? AND number = ?",
            (seen.child.pid, seen.child.key, seen.started_ms, *record.key),
        )
        return born(record, seen)

    def _ended(self, record: AttemptRecord, end: End | None) -> AttemptRecord:
        state = State.FINISHED if end is not None else State.PROCESS_GONE
        texts = (end.execution, end.result, end.changes, end.layout) if end is not None else (None,) * 4
        self._database.execute(
            "UPDATE attempts SET state = ?, sequence = ?, execution = ?, result = ?, changes = ?, layout = ?"
            " WHERE tool_call_id = ? AND number = ?",
            (state, self._database.next_sequence(), *texts, *record.key),
        )
        return self._known(record.key)

    def adopt(self, key: Key) -> AttemptRecord | None:
        """Make a running attempt ours whose owner lives no more. `None`: it runs no more, or another one watches it."""
        record = self.look(key)
        if record is None or record.state is not State.STARTED:
            return None
        if record.owner == self._me:
            return record
        if self._census.incarnation_lives(record.owner_runtime or "", record.owner_incarnation or ""):
            return None
        self._own(key)
        return self.record(key)

    # -- settling -----------------------------------------------------------------------------------------------------

    def confirm(self, key: Key, offsets: dict[str, int], *, settled: bool) -> AttemptRecord | None:
        """Note what the control plane holds. `settled` drops the result of an attempt that has ended, never the row."""
        record = self.record(key)
        if record is None:
            return None
        self._database.next_sequence()
        held = record.confirmed
        values = [max(count, offsets.get(name, 0)) for name, count in held.items()]
        self._database.execute(
            "UPDATE attempts SET stdout_confirmed = ?, stderr_confirmed = ?, result_confirmed = ?"
            " WHERE tool_call_id = ? AND number = ?",
            (*values, *key),
        )
        if settled and record.state in KNOWN_END:
            self._database.execute(
                "UPDATE attempts SET settled = 1, result = NULL, changes = NULL, layout = NULL"
                " WHERE tool_call_id = ? AND number = ?",
                key,
            )
            self._database.execute("DELETE FROM inputs WHERE tool_call_id = ? AND number = ?", key)
        return self.record(key)

    def take_input(self, key: Key, sequence: int, size: int, *, sensitive: bool) -> bool:
        """Note an input before it is handed on; its length alone is kept. False: that number was accepted before."""
        record = self._known(key)
        if sequence <= record.input_sequence:
            return False
        self._database.next_sequence()
        self._database.execute(
            "INSERT OR IGNORE INTO inputs VALUES (?, ?, ?, ?, ?)", (*key, sequence, size, int(sensitive))
        )
        return True

    def input_accepted(self, key: Key, sequence: int) -> int:
        """Note that an input was written to the command. Returns the sequence of this write."""
        written = self._database.next_sequence()
        self._database.execute(
            "UPDATE attempts SET input_sequence = max(input_sequence, ?) WHERE tool_call_id = ? AND number = ?",
            (sequence, *key),
        )
        return written

    # -- reading ------------------------------------------------------------------------------------------------------

    def record(self, key: Key) -> AttemptRecord | None:
        row = self._database.execute(f"{_SELECT} WHERE tool_call_id = ? AND number = ?", key).fetchone()
        return record_of(row) if row is not None else None

    def _known(self, key: Key) -> AttemptRecord:
        record = self.record(key)
        if record is None:
            raise LookupError(f"attempt {key} is not in the journal")
        return record

    def _records(self, tool_call_id: str) -> list[AttemptRecord]:
        rows: list[tuple[Any, ...]] = self._database.execute(
            f"{_SELECT} WHERE tool_call_id = ? ORDER BY number", (tool_call_id,)
        ).fetchall()
        return [record_of(row) for row in rows]

    def everything_unsettled(self) -> list[AttemptRecord]:
        """Every attempt whose last word is not settled, as it was last written."""
        rows = self._database.execute(f"{_SELECT} WHERE settled = 0 ORDER BY sequence").fetchall()
        return [record_of(row) for row in rows]

    def unsettled(self) -> list[AttemptRecord]:
        """The same, after what became of those that started was looked at; in the order of their words."""
        return [self._looked_at(record) for record in self.everything_unsettled()]
