"""The fence: at most one start per consent, and promises that are kept (RECOVERY.md §5)."""

from __future__ import annotations

from typing import Final

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed, Link
from caisey.conformance.runtimes.subject import NotTried, Subject, about, lines, quiet, receipts
from caisey.protocol.frames import Acknowledged, Finished, Output, Problem, Reference, Refused, Started, Statement

GROUP: Final = "The fence"


async def _counted(subject: Subject, link: Link, call: str) -> tuple[str, str]:
    """A command that counts, run once; and where it counts."""
    subject.needs_shell(link)
    count = subject.counter()
    command = f"echo >> '{count}'"
    await subject.ran(link, call, command=command)
    if lines(count) != 1:
        raise NotTried("the runtime does not see the files of this command: run both on one machine")
    return command, str(count)


async def _ran(subject: Subject, link: Link, count: str, times: int) -> None:
    from pathlib import Path

    await subject.heard_all(link)
    await quiet(0.3)
    found = lines(Path(count))
    if found != times:
        raise Failed(f"it ran {times} times in all", f"{found} times")


async def repeats_for_the_same_number(subject: Subject) -> None:
    link = await subject.link()
    call = subject.new_call()
    command, count = await _counted(subject, link, call)
    first = await receipts(link, call)
    mark = link.mark()
    await link.dispatch(call, command=command)
    again = await receipts(link, call, since=mark)
    if [f.journal_sequence for f in first] != [f.journal_sequence for f in again]:
        raise Failed("the same receipts again, with their journal_sequence", "others")
    await _ran(subject, link, count, 1)


async def a_lower_number_runs_nothing(subject: Subject) -> None:
    link = await subject.link()
    call = subject.new_call()
    subject.needs_shell(link)
    count = subject.counter()
    await link.dispatch(call, 2, command=f"echo >> '{count}'")
    await link.wait(Finished, about(call, 2))
    mark = link.mark()
    await link.dispatch(call, 1, command=f"echo >> '{count}'")
    await link.wait(Statement, about(call, 1), since=mark)
    await _ran(subject, link, str(count), 1)


async def a_used_consent_runs_nothing(subject: Subject) -> None:
    """A higher number for a consent that has started: the statement of the attempt that ran, with `answers`."""
    link = await subject.link()
    call = subject.new_call()
    command, count = await _counted(subject, link, call)
    mark = link.mark()
    await link.dispatch(call, 2, 1, command=command)
    said = await link.wait(Statement, about(call, 1), since=mark, what="`statement` of the attempt that ran")
    if said.answers != Reference(call, 2) or said.state != "finished":
        raise Failed("finished, answers number 2", f"{said.state}, answers {said.answers}")
    await _ran(subject, link, count, 1)


async def a_new_consent_runs_again(subject: Subject) -> None:
    link = await subject.link()
    call = subject.new_call()
    command, count = await _counted(subject, link, call)
    await link.dispatch(call, 2, 2, command=command)
    await link.wait(Finished, about(call, 2))
    await _ran(subject, link, count, 2)


async def nothing_beside_what_is_alive(subject: Subject) -> None:
    """A new consent while a process of the call is alive runs nothing."""
    link = await subject.link()
    subject.needs_shell(link)
    call, count = subject.new_call(), subject.counter()
    command = f"echo >> '{count}'; echo up; read line"
    await link.dispatch(call, command=command)
    await link.wait(Output, about(call))
    mark = link.mark()
    await link.dispatch(call, 2, 2, command=command)
    said = await link.wait(Statement, about(call, 1), since=mark, what="`statement` of the attempt that is alive")
    await link.cancel(call)
    await link.wait(Finished, about(call))
    if said.state != "started":
        raise Failed("started", said.state)
    await _ran(subject, link, str(count), 1)


async def changed_arguments(subject: Subject) -> None:
    """Other arguments for the same call: refused where nothing ran for that consent, else a problem and the word."""
    link = await subject.link()
    call = subject.new_call()
    _, count = await _counted(subject, link, call)
    other = f"echo other >> '{count}'"
    mark = link.mark()
    await link.dispatch(call, 1, 1, command=other)
    problem = await link.wait(Problem, since=mark, what="`problem` dispatch.changed")
    if problem.code != "dispatch.changed":
        raise Failed("`problem` dispatch.changed", problem.code)
    await link.wait(Statement, about(call, 1), since=mark)
    mark = link.mark()
    await link.dispatch(call, 2, 2, command=other)
    refused = await link.wait(Refused, about(call, 2), since=mark, what="`refused` dispatch.changed")
    if refused.code != "dispatch.changed":
        raise Failed("`refused` dispatch.changed", refused.code)
    await link.confirm(call, 2)
    await _ran(subject, link, count, 1)


async def keeps_never_received(subject: Subject) -> None:
    link = await subject.link()
    call, count = subject.new_call(), subject.counter()
    await link.reconcile(call, 2)
    said = await link.wait(Statement, about(call, 2))
    if said.state != "never_received":
        raise Failed("never_received", said.state)
    for number in (2, 1):
        mark = link.mark()
        await link.dispatch(call, number, command=f"echo >> '{count}'")
        await link.wait(Statement, about(call, number), since=mark)
    await _ran(subject, link, str(count), 0)
    if link.said(Acknowledged, about=Reference(call, 2)):
        raise Failed("no receipt for a number that was promised away", "`acknowledged`")


async def gives_no_promise_for_a_used_consent(subject: Subject) -> None:
    """Asked for a higher number of a consent that has started: no promise, but the attempt that ran."""
    link = await subject.link()
    call = subject.new_call()
    await _counted(subject, link, call)
    mark = link.mark()
    await link.reconcile(call, 2, 1)
    said = await link.wait(Statement, lambda f: f.attempt.tool_call_id == call, since=mark)
    if said.attempt.number != 1 or said.answers != Reference(call, 2) or said.state != "finished":
        raise Failed("number 1 finished, answers number 2", f"number {said.attempt.number} {said.state}")


async def states_what_it_has(subject: Subject) -> None:
    """Started with pid and owner, finished with how it ended."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="echo up; read line")
    started = await link.wait(Started, about(call))
    await link.wait(Output, about(call))
    await link.reconcile(call)
    said = await link.wait(Statement, about(call))
    mine = (link.hello.runtime_id, link.hello.incarnation)
    if said.state != "started" or said.owner is None or (said.owner.runtime_id, said.owner.incarnation) != mine:
        raise Failed("started, owned by this life", f"{said.state}, {said.owner}")
    if said.process_key != started.process_key:
        raise Failed("the process_key of `started`", str(said.process_key))
    await link.cancel(call)
    await link.wait(Finished, about(call))
    mark = link.mark()
    await link.reconcile(call)
    said = await link.wait(Statement, about(call), since=mark)
    if said.state != "finished" or said.execution is None:
        raise Failed("finished, with its execution", said.state)


async def a_crash_starts_nothing_again(subject: Subject) -> None:
    """Killed in the middle: it adopts the command or says that it is gone; it never runs it again."""
    if not subject.can_launch:
        raise NotTried("it takes --launch")
    link = await subject.link()
    subject.needs_shell(link)
    call, count = subject.new_call(), subject.counter()
    command = f"echo >> '{count}'; echo up; sleep 1; echo end"
    await link.dispatch(call, command=command)
    await link.wait(Output, about(call))
    again = await subject.restart()
    named = [said for said in again.hello.statements if said.attempt == Reference(call, 1)]
    if not named:
        raise Failed("a statement about it in the hello of the next life", "none")
    if named[0].state not in ("started", "process_gone", "finished"):
        raise Failed("started, process_gone or finished", named[0].state)
    await again.dispatch(call, command=command)
    if named[0].state != "process_gone":
        await again.wait(Finished, about(call))
    await _ran(subject, again, str(count), 1)


CHECKS: Final = (
    Check("repeats its receipts for the same number", GROUP, "RECOVERY §5 table, row 2", repeats_for_the_same_number),
    Check("runs nothing for a lower number", GROUP, "RECOVERY §5 table, row 1", a_lower_number_runs_nothing),
    Check("runs nothing for a consent that is used up", GROUP, "RECOVERY §5 table, row 5", a_used_consent_runs_nothing),
    Check("runs again for a new consent", GROUP, "RECOVERY §5 table, row 4", a_new_consent_runs_again),
    Check("runs nothing beside what is alive", GROUP, "RECOVERY §5 table, row 5", nothing_beside_what_is_alive),
    Check("runs no changed arguments", GROUP, "RECOVERY §5 table, row 3", changed_arguments),
    Check("keeps the promise of never_received", GROUP, "RECOVERY §5 promises", keeps_never_received),
    Check("promises nothing for a used consent", GROUP, "RECOVERY §5 promises", gives_no_promise_for_a_used_consent),
    Check("states what its journal has", GROUP, "PROTOCOL §5", states_what_it_has),
    Check("runs nothing again after a crash", GROUP, "RECOVERY §5; §9, 3", a_crash_starts_nothing_again),
)
