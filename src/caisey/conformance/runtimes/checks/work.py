"""Dispatch to finish: receipts, output, input, limits, stopping (PROTOCOL.md §4)."""

from __future__ import annotations

import hashlib
from typing import Final

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed
from caisey.conformance.runtimes.plane import Manners
from caisey.conformance.runtimes.subject import Subject, about, lines, output_of, quiet, receipts, sequenced
from caisey.protocol.frames import (
    Acknowledged,
    Finished,
    Gap,
    InputAccepted,
    Output,
    Progress,
    Reference,
    Refused,
    Started,
    Statement,
)

GROUP: Final = "Work"


async def receipts_in_order(subject: Subject) -> None:
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="echo out; echo err >&2")
    acknowledged, started, finished = await receipts(link, call)
    order = [link.heard.index(frame) for frame in (acknowledged, started, finished)]
    if order != sorted(order):
        raise Failed("acknowledged, started, finished", "another order")
    sequences = [acknowledged.journal_sequence, started.journal_sequence, finished.journal_sequence]
    if sequences != sorted(set(sequences)):
        raise Failed("a rising journal_sequence", str(sequences))
    if not started.pid or not started.process_key:
        raise Failed("pid and process_key in `started`", "empty")


async def execution_is_told(subject: Subject) -> None:
    """Apart from the payload, with the bytes and the hash of each stream."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    execution = (await subject.ran(link, call, command="printf 'out'; printf ' \\n' >&2; exit 3")).execution
    found = (execution.exit_code, execution.ended_by, execution.tree_ended, execution.signal)
    if found != (3, "itself", True, None):
        raise Failed("exit_code 3, ended_by itself, tree_ended true, no signal", str(found))
    out, err = execution.streams.get("stdout"), execution.streams.get("stderr")
    if out is None or (out.bytes, out.sha256, out.blank) != (3, hashlib.sha256(b"out").hexdigest(), False):
        raise Failed("stdout: 3 bytes, their SHA-256, not blank", str(out))
    if err is None or (err.bytes, err.blank) != (2, True):
        raise Failed("stderr: 2 bytes, blank (white space only)", str(err))
    if output_of([link], call) != b"out" or output_of([link], call, "stderr") != b" \n":
        raise Failed("the bytes of both streams in `output`", "others")


async def a_signal_is_told(subject: Subject) -> None:
    link = await subject.link()
    subject.needs_shell(link)
    execution = (await subject.ran(link, subject.new_call(), command="kill -KILL $$")).execution
    if (execution.exit_code, execution.ended_by) != (None, "itself") or execution.signal not in (9, "SIGKILL", "KILL"):
        raise Failed("signal 9, no exit code, ended_by itself", f"{execution.signal}, {execution.exit_code}")


async def output_by_offset(subject: Subject) -> None:
    """Every byte once, in chunks no longer than the welcome says."""
    link = await subject.link()
    subject.needs_shell(link)
    subject.plane.manners = Manners(chunk_bytes=4096)
    try:
        link = await subject.reconnected(link)
    finally:
        subject.plane.manners = Manners()
    call = subject.new_call()
    command = "i=0; while [ $i -lt 2000 ]; do echo line-$i; i=$((i+1)); done"
    finished = await subject.ran(link, call, command=command)
    wanted = b"".join(b"line-%d\n" % number for number in range(2000))
    await link.wait(Output, lambda f: f.attempt == Reference(call, 1) and f.offset + len(f.data) >= len(wanted))
    if output_of([link], call) != wanted:
        raise Failed("the output as it was written", "other bytes")
    longest = max(len(frame.data) for frame in link.said(Output, about=Reference(call, 1)))
    if longest > 4096:
        raise Failed("chunks of at most 4096 bytes", f"{longest} bytes")
    if finished.execution.streams["stdout"].sha256 != hashlib.sha256(wanted).hexdigest():
        raise Failed("the SHA-256 of all bytes", "another one")
    await subject.reconnected(link)


async def output_has_a_limit(subject: Subject) -> None:
    """What is over the limit is a gap that is marked; length and hash are those of all bytes."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    command = "i=0; while [ $i -lt 1000 ]; do echo 0123456789; i=$((i+1)); done"
    finished = await subject.ran(link, call, command=command, output_bytes=4096)
    summary = finished.execution.streams["stdout"]
    if (summary.bytes, summary.truncated) != (11_000, True):
        raise Failed("11000 bytes written, truncated", f"{summary.bytes}, truncated {summary.truncated}")
    gap = await link.wait(Gap, about(call), what="`gap` of the bytes over the limit")
    covered = sum(len(frame.data) for frame in link.said(Output, about=Reference(call, 1)))
    gaps = sum(frame.length for frame in link.said(Gap, about=Reference(call, 1)))
    if gap.why != "limit" or covered + gaps != 11_000 or covered > 4096:
        raise Failed("a gap, why limit, so that output and gaps are 11000 bytes", f"{gap.why}, {covered} + {gaps}")


async def the_time_limit_ends_it(subject: Subject) -> None:
    link = await subject.link()
    subject.needs_shell(link)
    execution = (await subject.ran(link, subject.new_call(), command="sleep 60 & sleep 60", time_ms=300)).execution
    if (execution.ended_by, execution.tree_ended) != ("time_limit", True):
        raise Failed("ended_by time_limit, tree_ended true", f"{execution.ended_by}, {execution.tree_ended}")


async def a_cancel_ends_the_tree(subject: Subject) -> None:
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="echo up; sleep 60 & sleep 60")
    await link.wait(Output, about(call))
    await link.cancel(call)
    execution = (await link.wait(Finished, about(call))).execution
    if (execution.ended_by, execution.tree_ended) != ("cancel", True):
        raise Failed("ended_by cancel, tree_ended true", f"{execution.ended_by}, {execution.tree_ended}")


async def a_cancel_closes_what_never_came(subject: Subject) -> None:
    """The promise, and it is kept."""
    link = await subject.link()
    call, count = subject.new_call(), subject.counter()
    await link.cancel(call)
    said = await link.wait(Statement, about(call))
    if said.state not in ("closed", "never_received"):
        raise Failed("a promise: closed", said.state)
    mark = link.mark()
    await link.dispatch(call, command=f"echo >> '{count}'")
    await link.wait(Statement, about(call), since=mark, what="`statement` for a number that is closed")
    await quiet(0.3)
    if link.said(Started, about=Reference(call, 1)) or lines(count):
        raise Failed("a closed number never starts", "it started")


async def input_once(subject: Subject) -> None:
    """A number that was seen is confirmed again, and not written again."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="while read line; do echo got $line; done; echo closed")
    await link.wait(Started, about(call))
    for sequence, data, close in ((1, b"one\n", False), (1, b"one\n", False), (2, b"two\n", True)):
        mark = link.mark()
        await link.input(call, sequence, data, close=close)
        await link.wait(InputAccepted, sequenced(sequence), since=mark)
    await link.wait(Finished, about(call))
    text = output_of([link], call)
    if text != b"got one\ngot two\nclosed\n":
        raise Failed("each input once, then the end of input", text.decode("utf-8", "replace"))


async def progress_is_told(subject: Subject) -> None:
    """While it runs; at most once a second."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="echo up; read line")
    progress = await link.wait(Progress, about(call), what="`progress` of what runs")
    await link.cancel(call)
    await link.wait(Finished, about(call))
    if progress.cpu_ms is None or "stdout" not in progress.bytes:
        raise Failed("cpu_ms, and the bytes of each stream", "not in it")


async def refuses_what_it_does_not_have(subject: Subject) -> None:
    """An unknown tool and an unknown version: a promise with a code, repeated until it is settled."""
    link = await subject.link()
    for changes in ({"tool": "tool_of_nobody"}, {"tool_version": 99}):
        call = subject.new_call()
        await link.dispatch(call, **changes)
        refused = await link.wait(Refused, about(call))
        if not refused.code.startswith("tool."):
            raise Failed("a code tool.…", refused.code)
        if link.said(Acknowledged, about=Reference(call, 1)) or link.said(Started, about=Reference(call, 1)):
            raise Failed("a refusal and no other receipt", "acknowledged or started")
        await link.confirm(call)


async def refuses_what_is_too_old(subject: Subject) -> None:
    link = await subject.link()
    call, count = subject.new_call(), subject.counter()
    await link.dispatch(call, command=f"echo >> '{count}'", start_within_ms=0)
    refused = await link.wait(Refused, about(call), what="`refused` dispatch.too_old")
    await link.confirm(call)
    if refused.code != "dispatch.too_old" or lines(count):
        raise Failed("`refused` dispatch.too_old, and no start", refused.code)


CHECKS: Final = (
    Check("gives its receipts in order", GROUP, "PROTOCOL §4", receipts_in_order),
    Check("tells how it ended, apart from the output", GROUP, "PROTOCOL §4 finished", execution_is_told),
    Check("tells a signal", GROUP, "PROTOCOL §4 finished", a_signal_is_told),
    Check("sends every byte once, by offset", GROUP, "PROTOCOL §4 output; §3 output_chunk_bytes", output_by_offset),
    Check("marks what is over the output limit", GROUP, "PROTOCOL §4 gap; RECOVERY §3", output_has_a_limit),
    Check("ends it at its time limit", GROUP, "PROTOCOL §4 limits.time_ms", the_time_limit_ends_it),
    Check("ends the process tree when it is stopped", GROUP, "PROTOCOL §4 cancel", a_cancel_ends_the_tree),
    Check("keeps a number closed that was stopped before it came", GROUP, "PROTOCOL §4 cancel; RECOVERY §5 promises",
          a_cancel_closes_what_never_came),
    Check("writes each input once", GROUP, "PROTOCOL §4 input", input_once),
    Check("tells the progress of what runs", GROUP, "PROTOCOL §4 progress", progress_is_told),
    Check("refuses a tool that it does not have", GROUP, "PROTOCOL §4 refused", refuses_what_it_does_not_have),
    Check("refuses what may not start any more", GROUP, "PROTOCOL §4 start_within_ms", refuses_what_is_too_old),
)  # fmt: skip
