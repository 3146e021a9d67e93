"""What a practice runtime does with each frame of the control plane (PROTOCOL.md §4 to §7).

Owns the checks (can it be read, is it meant for us, does the signature fit) and the honest answer to each frame. What
a play asked to be left unanswered is left unanswered.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from caisey.practice import said
from caisey.practice.journal import Key, Record
from caisey.practice.work import Work
from caisey.protocol.codec import Received, decode_from_control_plane
from caisey.protocol.faults import FrameFault, unexpected
from caisey.protocol.frames import (
    Cadence,
    Cancel,
    Confirm,
    Dispatch,
    FromControlPlane,
    HeartbeatAck,
    Input,
    InputAccepted,
    Keys,
    Ping,
    Problem,
    Question,
    Reconcile,
)
from caisey.protocol.signatures import pong_for, verify

if TYPE_CHECKING:
    from caisey.practice.link import Link
    from caisey.practice.runtime import Runtime

SIGTERM = 15


async def hear(runtime: Runtime, link: Link, data: bytes | str) -> None:
    """Take one frame."""
    received = decode_from_control_plane(data)
    if isinstance(received, FrameFault):
        if received.answerable:
            await runtime.send(received.problem())
        return
    frame = received.frame
    match frame:
        case HeartbeatAck(sequence=sequence):
            link.heard_ack(sequence)
        case Cadence(heartbeat_interval_ms=interval_ms):
            link.set_interval(interval_ms)
        case Ping(id=ping_id, nonce=nonce):
            await runtime.send(pong_for(ping_id, nonce, runtime.identity.key))
        case Reconcile(attempts=questions):
            for question in questions:
                await _reconcile(runtime, question)
        case Confirm() if not frame.settled or await _proved(runtime, received, frame):
            said.take_confirmation(runtime.journal, frame)
        case Dispatch() | Cancel() | Input() | Keys():
            if await _proved(runtime, received, frame):
                await _act(runtime, frame)
        case Confirm() | Problem():
            pass  # the one was answered with a problem, the other is never answered
        case _:
            await runtime.send(unexpected(received.data).problem())


async def _act(runtime: Runtime, frame: Dispatch | Cancel | Input | Keys) -> None:
    match frame:
        case Dispatch():
            await _dispatch(runtime, frame)
        case Cancel():
            await _cancel(runtime, frame)
        case Input():
            await _input(runtime, frame)
        case Keys():
            runtime.identity.control_plane_keys = tuple(key.public_key for key in frame.keys)
            runtime.home.keep(runtime.identity)


async def _proved(
    runtime: Runtime, received: Received[FromControlPlane], frame: Dispatch | Cancel | Input | Keys | Confirm
) -> bool:
    """Whether a trusted key signed it for this life and this journal; else a `problem` says why not."""
    about = None if isinstance(frame, Keys) else frame.attempt
    kind = str(frame.__struct_config__.tag)
    if not any(verify(received.document, kind, key) for key in runtime.identity.control_plane_keys):
        await runtime.send(said.problem("dispatch.signature", about))
        return False
    ours = (frame.runtime_id, frame.incarnation) == (runtime.identity.runtime_id, runtime.incarnation)
    if isinstance(frame, Dispatch):
        ours = ours and frame.journal_id == runtime.identity.journal_id
    if not ours:
        await runtime.send(said.problem("dispatch.misaddressed", about))
    return ours


async def _dispatch(runtime: Runtime, frame: Dispatch) -> None:
    journal, owner = runtime.journal, runtime.owner
    key: Key = (frame.attempt.tool_call_id, frame.attempt.number)
    judgement = journal.judge(key, frame.consent, runtime.digest(frame), runtime.incarnation)
    record = journal.record(key)
    journal_id = runtime.identity.journal_id
    if judgement == "take":
        runtime.play(Work(runtime, frame))
        await asyncio.sleep(0)  # the play takes it, before the next frame is heard
    elif judgement == "take_up_again" and record is not None:
        record.owner = owner
        journal.write(record)
        runtime.play(Work(runtime, frame, record))
        await asyncio.sleep(0)
    elif judgement == "repeat" and record is not None:
        await repeat(runtime, record)
    elif judgement in ("lower", "closed"):
        noted = journal.note(key, frame.consent, owner)
        await runtime.send(said.statement(journal, noted, journal_id))
    elif judgement == "refuse_changed":
        await Work(runtime, frame).refuse("dispatch.changed")
    else:
        if judgement == "problem_changed":
            await runtime.send(said.problem("dispatch.changed", frame.attempt))
        await runtime.send(what_ran(runtime, key, frame.consent))


def what_ran(runtime: Runtime, key: Key, consent: int) -> said.Said:
    """Runs nothing: notes the number, and states the attempt that ran or lives."""
    journal = runtime.journal
    ran = journal.that_ran(key[0], consent)
    ran = ran or next((r for r in journal.unsettled() if r.tool_call_id == key[0] and r.alive), None)
    noted = journal.note(key, consent, runtime.owner)
    about, answers = (noted, None) if ran is None or ran is noted else (ran, key)
    return said.statement(journal, about, runtime.identity.journal_id, answers=answers)


async def repeat(runtime: Runtime, record: Record) -> None:
    """Every receipt again, as it was said."""
    for receipt in list(record.receipts.values()):
        await runtime.send(receipt.get("bytes", receipt))


async def repeat_last(runtime: Runtime, record: Record) -> None:
    """Its last word again, until it is settled."""
    last = record.receipts.get("finished") or record.receipts.get("refused")
    if last is not None and not record.settled:
        await runtime.send(last.get("bytes", last))


async def _cancel(runtime: Runtime, frame: Cancel) -> None:
    key: Key = (frame.attempt.tool_call_id, frame.attempt.number)
    if key in runtime.ignored or key in runtime.uncancellable:
        runtime.stops_heard.add(key)
        return
    journal, record, journal_id = runtime.journal, runtime.journal.record(key), runtime.identity.journal_id
    if record is not None and record.state == "started" and record.alive:
        if frame.unless_started:
            await runtime.send(said.statement(journal, record, journal_id))
            return
        work = runtime.end_play(key)
        if work is not None:
            await work.finish(exit_code=None, signal=SIGTERM, ended_by="cancel")
    elif record is not None and record.state == "finished":
        await repeat(runtime, record)
    else:
        runtime.end_play(key)
        await runtime.send(
            said.promise(journal, key, frame.consent, owner=runtime.owner, journal_id=journal_id, why="cancel")
        )


async def _reconcile(runtime: Runtime, question: Question) -> None:
    key: Key = (question.tool_call_id, question.number)
    if key in runtime.ignored:
        return
    journal, record = runtime.journal, runtime.journal.record(key)
    if record is None:
        owner, journal_id = runtime.owner, runtime.identity.journal_id
        word = said.promise(journal, key, question.consent, owner=owner, journal_id=journal_id, why="reconcile")
        await runtime.send(word)
        return
    await runtime.send(said.statement(journal, record, runtime.identity.journal_id))
    await repeat_last(runtime, record)


async def _input(runtime: Runtime, frame: Input) -> None:
    work = runtime.work_of((frame.attempt.tool_call_id, frame.attempt.number))
    if work is None:
        await runtime.send(said.problem("frame.unexpected", frame.attempt))
        return
    if frame.sequence not in work.inputs_seen:
        work.inputs_seen.add(frame.sequence)
        work.inputs.put_nowait(frame)
    await runtime.send(InputAccepted(attempt=frame.attempt, sequence=frame.sequence))
