"""One attempt as the journal holds it, and what may be said of it (PROTOCOL.md §4, §5).

Owns the record and the frames that repeat it. A frame is always made from a record that is committed; nothing here
reads or writes.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from caisey.protocol.fields import StreamName
from caisey.protocol.frames import (
    Acknowledged,
    Change,
    Execution,
    Finished,
    Owner,
    Reference,
    Refused,
    Started,
    Statement,
)
from caisey.runtime.judge import State, Why
from caisey.runtime.processes import Identity, Shelter, StartSeen

KNOWN_END: Final = frozenset({State.FINISHED, State.PROCESS_GONE, State.SUPERSEDED, State.CLOSED})


class Key(NamedTuple):
    """Which attempt."""

    tool_call_id: str
    number: int

    @property
    def reference(self) -> Reference:
        return Reference(self.tool_call_id, self.number)


def key_of(reference: Reference) -> Key:
    return Key(reference.tool_call_id, reference.number)


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """A row of `attempts`. `sequence` is that of its present state, `*_sequence` that of each receipt.

    Fields that the tool of the command fills are JSON text, kept as they are sent.
    """

    tool_call_id: str
    number: int
    consent: int
    state: State
    sequence: int
    owner_runtime: str | None = None
    owner_incarnation: str | None = None
    received_sequence: int | None = None
    started_sequence: int | None = None
    why: Why | None = None
    code: str | None = None
    hint: str | None = None
    shim_pid: int | None = None
    shim_key: str | None = None
    pid: int | None = None
    process_key: str | None = None
    process_started_ms: int | None = None
    spool: str | None = None
    cgroup: str | None = None
    user: str | None = None
    cwd: str | None = None
    interpreter: str | None = None
    execution: bytes | None = None
    result: bytes | None = None
    changes: bytes | None = None
    layout: bytes | None = None
    input_sequence: int = 0
    stdout_confirmed: int = 0
    stderr_confirmed: int = 0
    result_confirmed: int = 0
    settled: int = 0

    @property
    def key(self) -> Key:
        return Key(self.tool_call_id, self.number)

    @property
    def shelter(self) -> Shelter:
        """Where it runs. Only of an attempt that was claimed."""
        if self.shim_pid is None or self.shim_key is None or self.spool is None:
            raise ValueError(f"attempt {self.key} was not claimed")
        child = Identity(self.pid, self.process_key or "") if self.pid is not None else None
        return Shelter(Identity(self.shim_pid, self.shim_key), child, self.spool, self.cgroup)

    @property
    def owner(self) -> Owner | None:
        if self.owner_runtime is None or self.owner_incarnation is None:
            return None
        return Owner(runtime_id=self.owner_runtime, incarnation=self.owner_incarnation)

    @property
    def confirmed(self) -> dict[StreamName, int]:
        return {"stdout": self.stdout_confirmed, "stderr": self.stderr_confirmed, "result": self.result_confirmed}


def born(record: AttemptRecord, seen: StartSeen) -> AttemptRecord:
    """The record with the command's identity in it."""
    return msgspec.structs.replace(
        record, pid=seen.child.pid, process_key=seen.child.key, process_started_ms=seen.started_ms
    )


def same_child(record: AttemptRecord, former: AttemptRecord) -> AttemptRecord:
    """A newer record with the command's identity of the former one: the journal looks for it only after a crash."""
    if record.pid is not None or former.pid is None:
        return record
    return msgspec.structs.replace(
        record, pid=former.pid, process_key=former.process_key, process_started_ms=former.process_started_ms
    )


COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(AttemptRecord))
_EXECUTION: Final = msgspec.json.Decoder(Execution)
_CHANGES: Final = msgspec.json.Decoder(tuple[Change, ...])


def record_of(row: tuple[Any, ...]) -> AttemptRecord:
    """A row with the columns of `COLUMNS`, in their order."""
    return msgspec.convert(dict(zip(COLUMNS, row, strict=True)), AttemptRecord)


def execution_of(record: AttemptRecord) -> Execution:
    if record.execution is None:
        raise ValueError(f"attempt {record.key} has no end record")
    return _EXECUTION.decode(record.execution)


def acknowledged(record: AttemptRecord) -> Acknowledged:
    return Acknowledged(attempt=record.key.reference, journal_sequence=record.received_sequence or record.sequence)


def started(record: AttemptRecord) -> Started:
    return Started(
        attempt=record.key.reference,
        journal_sequence=record.started_sequence or record.sequence,
        pid=record.pid or 0,
        process_key=record.process_key or "unknown",
        process_started_ms=record.process_started_ms,
        user=record.user,
        cwd=record.cwd,
        interpreter=record.interpreter,
    )


def finished(record: AttemptRecord) -> Finished:
    """The last receipt of an attempt that ran. After it was settled, the result is gone and the execution stays."""
    result: Raw | UnsetType = UNSET if record.result is None else Raw(record.result)
    return Finished(
        attempt=record.key.reference,
        journal_sequence=record.sequence,
        execution=execution_of(record),
        result=result,
        changes=_CHANGES.decode(record.changes) if record.changes else (),
    )


def refused(record: AttemptRecord) -> Refused:
    return Refused(
        attempt=record.key.reference,
        journal_sequence=record.sequence,
        code=record.code or "attempt.withdrawn",
        hint=record.hint or "",
    )


def was_let_go(record: AttemptRecord) -> bool:
    """Whether `started` may be said. A claim alone is no start: its shim may have died before go reached it."""
    return record.started_sequence is not None and (record.pid is not None or record.state is State.FINISHED)


def is_refusal(record: AttemptRecord) -> bool:
    return record.state is State.CLOSED and record.why is Why.REFUSED


def statement(record: AttemptRecord, journal_id: str, *, answers: Key | None = None, never: bool = False) -> Statement:
    """The journal's word about one attempt. `never`: it was closed because nothing was known of it until now."""
    ran = record.started_sequence is not None
    held = record.state in (State.RECEIVED, State.STARTED)
    closed = record.state is State.CLOSED and not never
    return Statement(
        attempt=record.key.reference,
        state="never_received" if never else record.state.value,
        journal_id=journal_id,
        journal_sequence=record.sequence,
        answers=answers.reference if answers is not None else None,
        owner=record.owner if held else None,
        why=record.why.value if closed and record.why is not None else None,
        code=record.code if closed else None,
        pid=record.pid if ran else None,
        process_key=record.process_key if ran else None,
        offsets=_kept(record) if ran else {},
        execution=execution_of(record) if record.state is State.FINISHED else None,
    )


def receipts(record: AttemptRecord, journal_id: str) -> list[Acknowledged | Started | Finished | Refused | Statement]:
    """What was said of an attempt so far, to be said again in the same order."""
    if is_refusal(record):
        return [refused(record)]
    if record.state in (State.CLOSED, State.SUPERSEDED):
        return [statement(record, journal_id)]
    said: list[Acknowledged | Started | Finished | Refused | Statement] = [acknowledged(record)]
    if was_let_go(record):
        said.append(started(record))
    if record.state is State.FINISHED:
        said.append(finished(record))
    elif record.state is State.PROCESS_GONE:
        said.append(statement(record, journal_id))
    return said


def _kept(record: AttemptRecord) -> dict[StreamName, int]:
    """Up to where each stream is known: its end, or what the control plane has confirmed."""
    if record.state is State.FINISHED:
        return {name: stream.bytes for name, stream in execution_of(record).streams.items()}
    return record.confirmed
