"""What a runtime and its journal say (PROTOCOL.md §4, §5), turned into evidence and consequences.

Owns the order of words: per attempt, a lower journal_sequence than the last heard changes nothing. A late or repeated
word never overwrites a newer one and is never dropped.
"""

from __future__ import annotations

from typing import Any

from caisey.core import commands as c
from caisey.core import events as e
from caisey.core.attempt import Attempt
from caisey.core.decide.draft import Draft
from caisey.core.decide.sending import dispatch, world_changed
from caisey.core.decide.settle import conclude, release_owed, withdraw_newer
from caisey.core.errors import Fault
from caisey.core.states import ON_THE_WIRE, AttemptState, CancelWhy, Kind, Ran
from caisey.core.tool_call import ToolCall

MAX_NOTES = 100  # of facts that move nothing, per attempt: a runtime's bytes are hostile
MAX_AGAIN = 3  # how often one number is sent once more to a journal that names an owner who is gone; then withdrawn
PROGRESS_EVERY_MS = 10_000
REOPENED_KINDS = frozenset({Kind.ORPHANED, Kind.RUNTIME_DIED})


def find(d: Draft, command: c.RuntimeCommand) -> tuple[ToolCall, Attempt]:
    """The attempt, if it was dispatched to this runtime or to its journal (PROTOCOL.md §4 end). Else Fault."""
    call = d.session.calls.get(command.tool_call_id)
    attempt = call.attempt(command.number) if call else None
    if call is None or attempt is None or attempt.journal_id is None:
        raise Fault("frame.not_yours")
    if command.runtime_id != attempt.runtime_id and command.journal_id != attempt.journal_id:
        raise Fault("frame.not_yours")
    return call, attempt


def note(d: Draft, a: Attempt, fact: str, **detail: Any) -> None:
    """Keep a fact that moves nothing. Bounded."""
    fresh = d.attempt(a.tool_call_id, a.number)
    if fresh.notes < MAX_NOTES:
        d.emit(e.EvidenceNoted(tool_call_id=a.tool_call_id, number=a.number, fact=fact, detail=detail), _runtime(fresh))


def _runtime(a: Attempt) -> e.Actor:
    return e.Actor("runtime", a.runtime_id or "")


def _by(command: c.RuntimeCommand) -> e.Actor:
    return e.Actor("runtime", command.runtime_id)


# -- receipts ----------------------------------------------------------------------------------------------------


def receipt(d: Draft, command: c.ReceiveReceipt) -> None:
    """acknowledged, started or refused."""
    _, a = find(d, command)
    if command.journal_sequence < a.journal_sequence:
        note(d, a, "out_of_order", receipt=command.receipt, journal_sequence=command.journal_sequence)
        return
    if command.receipt == "acknowledged":
        _received(d, command, a, stated=False)
    elif command.receipt == "started":
        _begun(d, command, a, command.details, stated=False)
    else:
        _refused(d, command, a, str(command.details.get("code", "")), str(command.details.get("hint", "")))


def _can_reopen(a: Attempt) -> bool:
    """It ended for want of a word, and this is one."""
    kind = a.verdict.kind if a.verdict is not None else None
    return a.state is AttemptState.ENDED and a.finished is None and kind in REOPENED_KINDS


def _reopen(d: Draft, command: c.RuntimeCommand, a: Attempt, state: AttemptState) -> None:
    withdraw_newer(d, a.tool_call_id, a.number)
    d.emit(
        e.AttemptReopened(tool_call_id=a.tool_call_id, number=a.number, state=state.value, due_at_ms=d.rolling(a)),
        _by(command),
    )
    if d.call(a.tool_call_id).dropped and a.cancel is None:  # a person gave it up; a running command is left alone
        d.emit(e.CancelRequested(tool_call_id=a.tool_call_id, number=a.number, why=CancelWhy.WITHDRAWN))


def _received(d: Draft, command: c.ReceiveReceipt | c.ReceiveStatement, a: Attempt, stated: bool) -> None:
    """It is in the journal. Of one that is known to have started this is no news: it has forgotten the start."""
    if a.started_at_ms is not None:
        note(d, a, "journal_regressed", journal_id=command.journal_id, journal_sequence=command.journal_sequence)
        return
    event = e.AttemptAcknowledged(
        tool_call_id=a.tool_call_id,
        number=a.number,
        runtime_id=command.runtime_id,
        journal_sequence=command.journal_sequence,
        due_at_ms=d.rolling(a),
        stated=stated,
    )
    if a.state in (AttemptState.DISPATCHED, AttemptState.LOST):
        d.emit(event, _by(command))
    elif _can_reopen(a):
        _reopen(d, command, a, AttemptState.ACKNOWLEDGED)
    elif a.state is AttemptState.ENDED and command.journal_sequence > a.journal_sequence:
        note(d, a, "late", receipt="acknowledged", journal_sequence=command.journal_sequence)


def _begun(d: Draft, command: c.RuntimeCommand, a: Attempt, details: dict[str, Any], stated: bool) -> None:
    """The command was let go."""
    sequence = command.journal_sequence  # type: ignore[attr-defined]  # receipts and statements both have it
    event = e.AttemptStarted(
        tool_call_id=a.tool_call_id,
        number=a.number,
        runtime_id=command.runtime_id,
        journal_sequence=sequence,
        due_at_ms=d.rolling(a),
        stated=stated,
        **details,
    )
    if _can_reopen(a):
        again = a.started_at_ms is not None
        _reopen(d, command, a, AttemptState.STARTED if again else AttemptState.ACKNOWLEDGED)
        if not again:
            d.emit(event, _by(command))
    elif a.state is AttemptState.LOST and a.started_at_ms is not None:
        found = AttemptState.STARTED.value
        d.emit(
            e.AttemptFound(tool_call_id=a.tool_call_id, number=a.number, state=found, due_at_ms=d.rolling(a)),
            _by(command),
        )
    elif a.state in (AttemptState.DISPATCHED, AttemptState.ACKNOWLEDGED, AttemptState.LOST):
        d.emit(event, _by(command))
    elif a.state is AttemptState.ENDED and sequence > a.journal_sequence:
        note(d, a, "late", receipt="started", journal_sequence=sequence)


def _refused(d: Draft, command: c.ReceiveReceipt, a: Attempt, code: str, hint: str) -> None:
    """A promise that it will not run."""
    if a.final_word:
        return
    trusted = _trusted(d, command, a, command.journal_sequence)
    d.emit(
        e.AttemptRefused(
            tool_call_id=a.tool_call_id,
            number=a.number,
            journal_sequence=command.journal_sequence,
            code=code,
            hint=hint,
            trusted=trusted,
        ),
        _by(command),
    )
    _close_lower(d, command, a)
    conclude(d, a.tool_call_id, a.number)
    release_owed(d, a.tool_call_id)


def _trusted(d: Draft, command: c.RuntimeCommand, a: Attempt, sequence: int) -> bool:
    """Whether a promise may prove `no`: only of the journal it was dispatched to, and of one that did not go back.

    A closing record can only be written after the dispatch it is about: one whose sequence is not above what was seen
    of that journal before the dispatch comes from a journal that was set back (RECOVERY.md §5).
    """
    if command.journal_id != a.journal_id:
        return False
    runtime = d.view.runtime(command.runtime_id)
    if runtime is not None and not runtime.trusted:
        return False
    if sequence <= a.mark:
        note(d, a, "journal_regressed", journal_id=command.journal_id, journal_sequence=sequence, seen=a.mark)
        return False
    return True


# -- finished ----------------------------------------------------------------------------------------------------


def finished(d: Draft, command: c.ReceiveFinished) -> None:
    """It ended; `execution` apart from the payload."""
    _, a = find(d, command)
    if command.readable and command.journal_sequence < a.journal_sequence:
        note(d, a, "out_of_order", receipt="finished", journal_sequence=command.journal_sequence)
        return
    if a.finished is not None and not a.finished.stated:
        if command.readable and not a.finished.readable:
            note(d, a, "repeated_finished", readable=True, journal_sequence=command.journal_sequence)
        return  # repeated until settled
    d.emit(
        e.AttemptFinished(
            tool_call_id=a.tool_call_id,
            number=a.number,
            journal_sequence=command.journal_sequence,
            execution=command.execution,
            result=command.result,
            has_result=command.has_result,
            changes=command.changes,
            faults=command.faults,
            readable=command.readable,
        ),
        _by(command),
    )
    conclude(d, a.tool_call_id, a.number)
    verdict = d.attempt(a.tool_call_id, a.number).verdict
    if not command.readable and verdict is not None and verdict.ran is Ran.UNCONFIRMED:
        ask_journal(d, a.tool_call_id, a.number, d.now)  # its journal may prove more than the frame did


# -- statements --------------------------------------------------------------------------------------------------


def statement(d: Draft, command: c.ReceiveStatement) -> None:
    """The journal speaks (PROTOCOL.md §5)."""
    call, a = find(d, command)
    _take_statement(d, command, a)
    if command.answers is not None and command.answers != command.number:
        _answers(d, command, call)


def _take_statement(d: Draft, command: c.ReceiveStatement, a: Attempt) -> None:
    if command.journal_sequence < a.journal_sequence:
        back = command.journal_sequence < a.asked_sequence
        fact = "journal_regressed" if back else "out_of_order"
        note(
            d,
            a,
            fact,
            state=command.state,
            journal_id=command.journal_id,
            journal_sequence=command.journal_sequence,
            seen=a.journal_sequence,
        )
        return
    if command.state == "received":
        _received(d, command, a, stated=True)
        if not command.owner_live:
            _owner_gone(d, command, d.attempt(a.tool_call_id, a.number))
    elif command.state == "started":
        details = {"pid": command.pid, "process_key": command.process_key}
        _begun(d, command, a, details, stated=True)
    elif command.state == "finished":
        _stated_end(d, command, a)
    else:
        _stated_word(d, command, a)


def _answers(d: Draft, command: c.ReceiveStatement, call: ToolCall) -> None:
    """Asked for one number, the journal names the one that ran: the asked one ran nothing."""
    asked = call.attempt(command.answers or 0)
    if asked is None or asked.final_word or asked.journal_id != command.journal_id:
        return
    d.emit(
        e.JournalStated(
            tool_call_id=call.id,
            number=asked.number,
            state="superseded",
            journal_id=command.journal_id,
            journal_sequence=command.journal_sequence,
            ran_as=command.number,
        ),
        _by(command),
    )
    conclude(d, call.id, asked.number)


def _stated_end(d: Draft, command: c.ReceiveStatement, a: Attempt) -> None:
    """`finished` by statement: the frame with the result follows, unless streams are all there is."""
    if a.finished is not None and (a.finished.readable or any(_is_stated_end(r.event) for r in a.facts)):
        return
    d.emit(
        e.AttemptFinished(
            tool_call_id=a.tool_call_id,
            number=a.number,
            journal_sequence=command.journal_sequence,
            execution=command.execution,
            stated=True,
        ),
        _by(command),
    )
    conclude(d, a.tool_call_id, a.number)


def _is_stated_end(event: e.Event) -> bool:
    return isinstance(event, e.AttemptFinished) and event.stated


def _stated_word(d: Draft, command: c.ReceiveStatement, a: Attempt) -> None:
    """process_gone, superseded, and the promises never_received and closed."""
    if a.final_word:
        return
    promise = command.state in ("never_received", "closed")
    trusted = not (promise or command.state == "superseded") or _trusted(
        d, command, a, command.journal_sequence if promise else a.mark + 1
    )
    d.emit(
        e.JournalStated(
            tool_call_id=a.tool_call_id,
            number=a.number,
            state=command.state,
            journal_id=command.journal_id,
            journal_sequence=command.journal_sequence,
            why=command.why,
            code=command.code,
            trusted=trusted,
        ),
        _by(command),
    )
    if promise:
        _close_lower(d, command, a)
    conclude(d, a.tool_call_id, a.number)
    if promise:
        release_owed(d, a.tool_call_id)


def _close_lower(d: Draft, command: c.ReceiveReceipt | c.ReceiveStatement, a: Attempt) -> None:
    """A promise proves `no` also for lower numbers of the same consent in the same journal."""
    if not d.attempt(a.tool_call_id, a.number).promised:
        return
    for lower in d.call(a.tool_call_id).attempts[: a.number - 1]:
        fits = lower.journal_id == a.journal_id and lower.consent == a.consent
        if not fits or lower.final_word or lower.started_at_ms is not None:
            continue
        d.emit(
            e.JournalStated(
                tool_call_id=a.tool_call_id,
                number=lower.number,
                state="closed",
                journal_id=command.journal_id,
                journal_sequence=max(command.journal_sequence, lower.journal_sequence),
                why="reconcile",
            ),
            _by(command),
        )
        conclude(d, a.tool_call_id, lower.number)


def _owner_gone(d: Draft, command: c.ReceiveStatement, a: Attempt) -> None:
    """A received whose owner is gone: the same number again, or withdrawal, at once (RECOVERY.md §4, §5)."""
    if a.state is not AttemptState.ACKNOWLEDGED or a.cancel is not None:
        return
    call = d.call(a.tool_call_id)
    runtime = d.view.runtime(command.runtime_id)
    able = runtime is not None and runtime.bridges and runtime.accepting
    allowed = able and runtime is not None and not (runtime.revoked or runtime.settle_only)
    again = sum(1 for r in a.facts if isinstance(r.event, e.AttemptDispatched)) <= MAX_AGAIN
    if allowed and again and runtime is not None and not call.dropped and world_changed(d, call, a) is None:
        dispatch(d, a.tool_call_id, a.number, runtime, again=True)
    else:
        d.emit(e.CancelRequested(tool_call_id=a.tool_call_id, number=a.number, why=CancelWhy.WITHDRAWN))


# -- output, progress, input -------------------------------------------------------------------------------------


def output(d: Draft, command: c.ReceiveOutput) -> None:
    """Bytes are stored with this event; where they differ from stored ones they are kept apart."""
    _, a = find(d, command)
    cls = e.OutputConflicted if command.conflict else e.OutputReceived
    if command.conflict:
        stream = a.streams.get(command.stream)
        if stream is not None and stream.conflicts >= MAX_NOTES:
            return
    d.emit(
        cls(
            tool_call_id=a.tool_call_id,
            number=a.number,
            stream=command.stream,
            offset=command.offset,
            length=command.length,
        ),
        _by(command),
    )
    fresh = d.attempt(a.tool_call_id, a.number)
    if fresh.notice is not None:
        d.emit(e.AttemptNoticed(tool_call_id=a.tool_call_id, number=a.number, notice=None))


def gap(d: Draft, command: c.ReceiveGap) -> None:
    """Bytes that will not come. Repeated ones change nothing; bounded."""
    _, a = find(d, command)
    stream = a.streams.get(command.stream)
    known = stream.gaps if stream else ()
    if len(known) >= MAX_NOTES or any((o, n) == (command.offset, command.length) for o, n, _ in known):
        return
    d.emit(
        e.OutputGap(
            tool_call_id=a.tool_call_id,
            number=a.number,
            stream=command.stream,
            offset=command.offset,
            length=command.length,
            why=command.why,
        ),
        _by(command),
    )


def progress(d: Draft, command: c.ReceiveProgress) -> None:
    """Recorded at first, when it begins or ends waiting for input, and every 10 s; the rest only proves life.

    More often where `stall_after` is short: the words of its notice need two of them in that time.
    """
    _, a = find(d, command)
    if a.state is not AttemptState.STARTED:
        return
    waits_anew = a.progress is not None and a.progress.waiting_for_input != command.waiting_for_input
    every_ms = min(PROGRESS_EVERY_MS, d.policy.ms("stall_after") // 3)
    if a.progress is not None and not waits_anew and d.now - a.progress_at_ms < every_ms:
        return
    d.emit(
        e.AttemptProgressed(
            tool_call_id=a.tool_call_id,
            number=a.number,
            cpu_ms=command.cpu_ms,
            bytes=command.bytes,
            last_output_ms=command.last_output_ms,
            waiting_for_input=command.waiting_for_input,
        ),
        _by(command),
    )


def input_accepted(d: Draft, command: c.ReceiveInputAccepted) -> None:
    """That input was written, once."""
    _, a = find(d, command)
    if a.inputs_accepted < command.sequence <= a.inputs:
        d.emit(e.InputAccepted(tool_call_id=a.tool_call_id, number=a.number, sequence=command.sequence), _by(command))


def shape_fault(d: Draft, command: c.ReceiveShapeFault) -> None:
    """An unreadable frame that names this attempt: on record, and a question to the journal."""
    _, a = find(d, command)
    faults = [{"pointer": f.pointer, "expected": f.expected, "found": f.found} for f in command.faults]
    note(d, a, "shape_fault", code=command.code, errors=faults)
    if a.state in ON_THE_WIRE and a.asked_at_ms is None:
        ask_journal(d, a.tool_call_id, a.number, a.due_at_ms or d.now)


def ask_journal(d: Draft, call_id: str, number: int, due_at_ms: int) -> None:
    """Ask every connected runtime with the attempt's journal what it knows."""
    a = d.attempt(call_id, number)
    able = tuple(r.runtime_id for r in d.view.runtimes if r.journal_id == a.journal_id and r.bridges and not r.revoked)
    d.emit(
        e.ReconcileAsked(
            tool_call_id=call_id,
            number=number,
            runtime_ids=able,
            due_at_ms=due_at_ms,
            handed_at_ms=d.view.handed.get((call_id, number)),
        )
    )
