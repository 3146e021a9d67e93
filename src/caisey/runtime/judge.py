"""The fence, as a decision table (RECOVERY.md §5): what a journal may answer to a dispatch, a cancel, a reconcile.

Owns the judgement and nothing else. Pure: it reads no journal, no clock and no process. The caller loads the row and
finds out who is alive, asks here, and writes what `applied` says, all inside one transaction. An exhaustive model test
drives these very functions.

Before it judges, the caller writes down what the operating system can tell: a started attempt with an end record has
become FINISHED, one without any live process PROCESS_GONE. So `alive` means that a started attempt of this tool call
has no end record and a live shim or direct child.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What a journal holds of one attempt. `never_received` is a word about one that it does not hold."""

    RECEIVED = "received"
    STARTED = "started"
    FINISHED = "finished"
    PROCESS_GONE = "process_gone"
    SUPERSEDED = "superseded"
    CLOSED = "closed"


RAN: Final = frozenset({State.STARTED, State.FINISHED, State.PROCESS_GONE})
"""States of an attempt that used up its consent."""


class Why(StrEnum):
    """What a closing record was written for."""

    REFUSED = "refused"
    CANCEL = "cancel"
    WITHDRAWN = "withdrawn"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt. `owner_gone`: the incarnation that received it lives no more."""

    state: State
    consent: int
    owner_gone: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One tool call: what is kept for as long as the journal lives. A tool call never seen is `Row()`."""

    highest: int = 0
    consents: frozenset[int] = frozenset()
    arguments_sha256: str | None = None
    records: Mapping[int, Record] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a dispatch, a cancel or a reconcile names. Only a dispatch knows the arguments."""

    number: int
    consent: int
    arguments_sha256: str | None = None


# ---------------------------------------------------------------------------------------------------------------------
# Judgements: what is written, then what is said
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Take:
    """The number becomes RECEIVED, owned by the incarnation that judges; lower ones not started are SUPERSEDED."""


@dataclass(frozen=True, slots=True)
class TakeUpAgain:
    """The same number, whose owner is gone: it stays RECEIVED and gets a new owner."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """Nothing is written. The last receipts of the number are said again."""


@dataclass(frozen=True, slots=True)
class Say:
    """A statement about `number`. Where that is not the number asked, it carries `answers`.

    `note`: the number asked is not in the journal and is first noted as SUPERSEDED.
    `changed`: a `problem` `dispatch.changed` goes before the statement.
    """

    number: int
    note: bool = False
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """A promise: a closing record up to the number asked is written before anything is said.

    `why` and `code` are kept with the record. `unknown`: nothing was in the journal, so the word is `never_received`
    where a reconcile asked.
    """

    why: Why
    code: str | None = None
    unknown: bool = True


@dataclass(frozen=True, slots=True)
class EndTree:
    """A cancel of something that is alive: end its process tree, then `finished` follows by itself."""


Judgement = Take | TakeUpAgain | Repeat | Say | Close
"""What a dispatch is answered with."""


def judge(row: Row, dispatch: Asked, alive: bool) -> Judgement:
    """The table of RECOVERY.md §5, row by row: the first that fits decides.

    `alive`: a process of this tool call lives. A `Take` may be turned into a refusal with `refused`; nothing else may.
    """
    number = dispatch.number
    record = row.records.get(number)
    if number < row.highest:
        return Say(number, note=record is None)
    if record is not None and record.state is State.CLOSED:
        return Say(number)
    changed = row.arguments_sha256 not in (None, dispatch.arguments_sha256)
    if record is not None:
        if changed:
            return Say(_word(row, number), changed=True)
        if record.state is State.SUPERSEDED:
            return Say(_word(row, number))
        return TakeUpAgain() if record.state is State.RECEIVED and record.owner_gone else Repeat()
    used_up = dispatch.consent in row.consents
    if changed:
        if used_up:
            return Say(_that_ran(row, dispatch.consent, number), note=True, changed=True)
        return Close(Why.REFUSED, "dispatch.changed")
    if used_up or alive:
        return Say(_that_ran(row, dispatch.consent, number), note=True)
    return Take()


def refused(judgement: Judgement, code: str) -> Judgement:
    """Turn a `Take` into a refusal. Where the table says anything else, a runtime has no right to refuse."""
    return Close(Why.REFUSED, code) if isinstance(judgement, Take) else judgement


def answer(row: Row, asked: Asked) -> Say | Close:
    """What a reconcile is answered with: the journal's word, or a promise about what it never saw."""
    return _word_or_promise(row, asked, Why.RECONCILE)


def cancel(row: Row, asked: Asked) -> Say | Close | EndTree:
    """What a cancel does: ends what runs, closes what has not started, else says what became of it."""
    record = row.records.get(asked.number)
    if record is not None and record.state is State.STARTED:
        return EndTree()
    if record is not None and record.state is State.RECEIVED:
        return Close(Why.CANCEL, unknown=False)
    return _word_or_promise(row, asked, Why.CANCEL)


def _word_or_promise(row: Row, asked: Asked, why: Why) -> Say | Close:
    record = row.records.get(asked.number)
    if record is not None:
        return Say(_word(row, asked.number))
    if asked.consent in row.consents:
        return Say(_that_ran(row, asked.consent, asked.number), note=True)
    if asked.number < row.highest:
        return Say(asked.number, note=True)
    return Close(why)


def _word(row: Row, number: int) -> int:
    """The number whose statement answers for a number in the journal: another's, where its consent started there."""
    record = row.records[number]
    if record.state is State.SUPERSEDED and record.consent in row.consents:
        return _that_ran(row, record.consent, number)
    return number


def _that_ran(row: Row, consent: int, number: int) -> int:
    """The attempt that ran for this consent; else the newest of the tool call that ran; else the number itself."""
    ran = {n: record.consent for n, record in row.records.items() if record.state in RAN}
    same = [n for n, of in ran.items() if of == consent]
    return max(same or ran or (number,))


# ---------------------------------------------------------------------------------------------------------------------
# What is written
# ---------------------------------------------------------------------------------------------------------------------


def written(row: Row, asked: Asked, judgement: Judgement | EndTree) -> dict[int, State]:
    """The records that the judgement changes, by number: all of them, and nothing else may be changed.

    A closing record and a taking close or supersede every lower one that has not started.
    """
    waiting = [n for n, record in row.records.items() if record.state is State.RECEIVED and n < asked.number]
    match judgement:
        case Take():
            return dict.fromkeys(waiting, State.SUPERSEDED) | {asked.number: State.RECEIVED}
        case Close():
            return dict.fromkeys([*waiting, asked.number], State.CLOSED)
        case Say(note=True):
            return {asked.number: State.SUPERSEDED}
        case _:
            return {}


def applied(row: Row, asked: Asked, judgement: Judgement | EndTree) -> Row:
    """The row after the judgement was written. What the journal stores in SQL, for who drives the table in memory."""
    records = dict(row.records)
    for number, state in written(row, asked, judgement).items():
        consent = asked.consent if number == asked.number else records[number].consent
        records[number] = Record(state, consent)
    if isinstance(judgement, TakeUpAgain):
        records[asked.number] = replace(records[asked.number], owner_gone=False)
    return replace(
        row,
        highest=max([row.highest, *records]),
        arguments_sha256=row.arguments_sha256 or asked.arguments_sha256,
        records=records,
    )


def claimed(row: Row, number: int) -> Row | None:
    """The claim: RECEIVED becomes STARTED and the consent is used up; `None` where it may not.

    The caller compares the owner's incarnation in the same transaction.
    """
    record = row.records.get(number)
    if record is None or record.state is not State.RECEIVED or record.consent in row.consents:
        return None
    started = replace(record, state=State.STARTED)
    return replace(row, consents=row.consents | {record.consent}, records={**row.records, number: started})
