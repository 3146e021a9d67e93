"""The frames that a record of the journal becomes (PROTOCOL.md §4, §5).

Owns the words of the journal and nothing else: what is said here is on disk already.
"""

from __future__ import annotations

from typing import Any

import msgspec

from caisey.practice.journal import RAN, Frame, Journal, Key, Record
from caisey.protocol import limits
from caisey.protocol.frames import AnyFrame, Confirm, Output, Owner, Problem, Reference, Statement

Said = AnyFrame | Frame | bytes


def encoded(said: Said) -> bytes:
    """The bytes of a frame; bytes are sent as they are."""
    return said if isinstance(said, bytes) else msgspec.json.encode(said)


def as_frame(frame: AnyFrame) -> Frame:
    """The frame as plain JSON, so that it can be kept, or spoiled."""
    document: Frame = msgspec.to_builtins(frame)
    return document


def reference(key: Key) -> Reference:
    return Reference(key[0], key[1])


def statement(
    journal: Journal, record: Record, journal_id: str, *, answers: Key | None = None, never: bool = False
) -> Statement:
    """The journal's word about one attempt. A started one whose command is dead is first written down as gone."""
    if record.state == "started" and not record.alive:
        record.state = "process_gone"
        journal.write(record)
    ran = record.state in RAN
    fields: dict[str, Any] = {
        "attempt": reference(record.key),
        "state": "never_received" if never else record.state,
        "journal_id": journal_id,
        "journal_sequence": record.sequence,
        "answers": None if answers is None else reference(answers),
        "owner": Owner(**record.owner) if record.state in ("received", "started") else None,
        "why": record.why if record.state == "closed" else None,
        "code": record.code,
        "pid": record.pid if ran else None,
        "process_key": record.process_key if ran else None,
        "offsets": {name: len(data) for name, data in record.streams.items()},
        "execution": record.execution if record.state == "finished" else None,
    }
    return msgspec.convert(fields, Statement, strict=False, from_attributes=True)


def promise(journal: Journal, key: Key, consent: int, *, owner: dict[str, str], journal_id: str, why: str) -> Statement:
    """The answer to a `reconcile` or a `cancel` about what has not started: a promise where one may be given."""
    record = journal.record(key)
    if record is None:
        ran = journal.that_ran(key[0], consent)
        if ran is not None:
            journal.note(key, consent, owner)
            return statement(journal, ran, journal_id, answers=key)
        if journal.judge(key, consent, "", owner["incarnation"]) == "lower":
            return statement(journal, journal.note(key, consent, owner), journal_id)
    if record is None or record.state == "received":
        closed = journal.close_up_to(key, consent, owner, why)
        return statement(journal, closed, journal_id, never=record is None and why == "reconcile")
    return statement(journal, record, journal_id)


def output_again(record: Record) -> list[Output]:
    """What was written and not confirmed yet, in chunks."""
    frames = []
    for stream, data in record.streams.items():
        for offset in range(record.confirmed.get(stream, 0), len(data), limits.OUTPUT_CHUNK_BYTES):
            chunk = bytes(data[offset : offset + limits.OUTPUT_CHUNK_BYTES])
            frames.append(Output(attempt=reference(record.key), stream=stream, offset=offset, data=chunk))  # type: ignore[arg-type]
    return frames


def take_confirmation(journal: Journal, confirm: Confirm) -> None:
    """Note what the control plane holds."""
    record = journal.record((confirm.attempt.tool_call_id, confirm.attempt.number))
    if record is None:
        return
    record.confirmed.update(confirm.offsets)  # type: ignore[arg-type]
    if confirm.settled and not record.settled:
        journal.settle(record)


def problem(code: str, about: Reference | None) -> Problem:
    return Problem(code=code, about=about)
