"""The journal of a practice runtime: RECOVERY.md §5 in small, on SQLite.

Owns the records, their order (`journal_sequence`) and the judgement of a dispatch. A record is on disk before anything
is said of it. The commands are made up, so "alive" means: a play of this process still acts them. It never speaks.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

State = Literal["received", "started", "process_gone", "finished", "superseded", "closed"]
Judgement = Literal["take", "take_up_again", "repeat", "lower", "closed", "refuse_changed", "problem_changed", "noted"]
Key = tuple[str, int]
Frame = dict[str, Any]

RAN: Final = frozenset({"started", "process_gone", "finished"})


class ClaimError(Exception):
    """It was withdrawn, superseded or taken up by another life: the made-up command is not let go."""


class Record(msgspec.Struct, kw_only=True):
    """What is known of one attempt. `receipts` are the frames as they were sent, so that they can be repeated."""

    tool_call_id: str
    number: int
    consent: int
    state: State
    sequence: int
    owner: dict[str, str]
    arguments_sha256: str = ""
    receipts: dict[str, Frame] = {}
    alive: bool = False
    settled: bool = False
    why: str | None = None
    code: str | None = None
    pid: int | None = None
    process_key: str | None = None
    execution: Frame | None = None
    streams: dict[str, bytearray] = {}
    confirmed: dict[str, int] = {}

    @property
    def key(self) -> Key:
        return (self.tool_call_id, self.number)

    @property
    def reference(self) -> Frame:
        return {"tool_call_id": self.tool_call_id, "number": self.number}


_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS records (
        tool_call_id TEXT NOT NULL, number INTEGER NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (tool_call_id, number)
    ) STRICT;
"""


class Journal:
    """Records by tool call and number. Used by one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._records: dict[str, dict[int, Record]] = {}
        self.sequence = 0
        self.highest_sequence = 0
        self._load()

    def close(self) -> None:
        self._database.close()

    def _load(self) -> None:
        self._records.clear()
        self.sequence = 0
        for (body,) in self._database.execute("SELECT body FROM records"):
            record = msgspec.msgpack.decode(body, type=Record)
            record.alive = False
            self._records.setdefault(record.tool_call_id, {})[record.number] = record
            self.sequence = max(self.sequence, record.sequence)
        self.highest_sequence = max(self.highest_sequence, self.sequence)

    # -- reading ------------------------------------------------------------------------------------------------------

    def record(self, key: Key) -> Record | None:
        return self._records.get(key[0], {}).get(key[1])

    def unsettled(self) -> list[Record]:
        return [record for row in self._records.values() for record in row.values() if not record.settled]

    def that_ran(self, tool_call_id: str, consent: int) -> Record | None:
        """The attempt that used up this consent."""
        row = self._records.get(tool_call_id, {}).values()
        return next((record for record in row if record.state in RAN and record.consent == consent), None)

    def judge(self, key: Key, consent: int, arguments_sha256: str, incarnation: str) -> Judgement:
        """The table of RECOVERY.md §5; the first row that fits decides."""
        row = self._records.get(key[0], {})
        record = row.get(key[1])
        if row and key[1] < max(row):
            return "lower"
        if record is not None and record.state == "closed":
            return "closed"
        known = next((r.arguments_sha256 for r in row.values() if r.arguments_sha256), arguments_sha256)
        used_up = self.that_ran(key[0], consent) is not None
        if known != arguments_sha256:
            return "problem_changed" if record is not None or used_up else "refuse_changed"
        if record is not None:
            gone = record.state == "received" and record.owner["incarnation"] != incarnation
            return "take_up_again" if gone else "repeat"
        if used_up or any(other.alive for other in row.values()):
            return "noted"
        return "take"

    # -- writing: on disk when it returns -----------------------------------------------------------------------------

    def write(self, *records: Record, rising: bool = True) -> None:
        """`rising`: each gets the next journal sequence; without it only what informs the record has changed."""
        for record in records:
            if rising:
                self.sequence += 1
                record.sequence = self.sequence
            self._records.setdefault(record.tool_call_id, {})[record.number] = record
        self.highest_sequence = max(self.highest_sequence, self.sequence)
        self._database.execute("BEGIN IMMEDIATE")
        self._database.executemany(
            "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)",
            [(r.tool_call_id, r.number, r.sequence, msgspec.msgpack.encode(r)) for r in records],
        )
        self._database.execute("COMMIT")

    def receive(self, key: Key, consent: int, arguments_sha256: str, owner: dict[str, str]) -> Record:
        """Take it: a lower one that has not started becomes superseded."""
        waiting = [r for n, r in self._records.get(key[0], {}).items() if n < key[1] and r.state == "received"]
        for lower in waiting:
            lower.state = "superseded"
        record = Record(
            tool_call_id=key[0], number=key[1], consent=consent, state="received", sequence=0, owner=owner,
            arguments_sha256=arguments_sha256, receipts={},
        )  # fmt: skip
        self.write(*waiting, record)
        return record

    def claim(self, record: Record, owner: dict[str, str], pid: int, process_key: str) -> None:
        """The compare-and-set from received to started."""
        if record.state != "received" or record.owner != owner or self.that_ran(record.tool_call_id, record.consent):
            raise ClaimError(f"{record.key} is {record.state}")
        record.state, record.alive = "started", True
        record.pid, record.process_key = pid, process_key
        self.write(record)

    def finish(self, record: Record, execution: Frame | None) -> None:
        record.state, record.alive, record.execution = "finished", False, execution
        self.write(record)

    def note(self, key: Key, consent: int, owner: dict[str, str], state: State = "superseded") -> Record:
        """A number that runs nothing."""
        record = self.record(key)
        if record is None:
            record = Record(
                tool_call_id=key[0], number=key[1], consent=consent, state=state, sequence=0, owner=owner, receipts={}
            )
            self.write(record)
        return record

    def close_up_to(self, key: Key, consent: int, owner: dict[str, str], why: str, code: str | None = None) -> Record:
        """The closing record before a promise; lower ones that have not started are closed with it."""
        found = self.record(key)
        record = found or Record(
            tool_call_id=key[0], number=key[1], consent=consent, state="closed", sequence=0, owner=owner, receipts={}
        )
        row = self._records.get(key[0], {})
        lower = [r for n, r in row.items() if n < key[1] and r.state == "received"]
        for one in (*lower, record):
            one.state, one.why = "closed", why
        record.code = code
        self.write(*lower, record)
        return record

    def lose_processes(self) -> None:
        """Every made-up command is dead, and nothing wrote its end."""
        for record in self.unsettled():
            record.alive = False

    def settle(self, record: Record) -> None:
        """What it said may go; the record stays (PROTOCOL.md §6)."""
        record.settled, record.streams = True, {}
        self.write(record, rising=False)

    # -- a disk that was set back -------------------------------------------------------------------------------------

    def snapshot(self) -> list[bytes]:
        return [msgspec.msgpack.encode(record) for row in self._records.values() for record in row.values()]

    def set_back(self, snapshot: list[bytes]) -> None:
        """The disk is as it was: whatever was written since is gone, its sequence too."""
        records = [msgspec.msgpack.decode(body, type=Record) for body in snapshot]
        self._database.execute("BEGIN IMMEDIATE")
        self._database.execute("DELETE FROM records")
        self._database.executemany(
            "INSERT INTO records VALUES (?, ?, ?, ?)",
            [(r.tool_call_id, r.number, r.sequence, msgspec.msgpack.encode(r)) for r in records],
        )
        self._database.execute("COMMIT")
        self._load()
