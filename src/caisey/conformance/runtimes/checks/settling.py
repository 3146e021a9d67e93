"""Confirmations, and what is sent again on the next connection (PROTOCOL.md §5, §6)."""

from __future__ import annotations

from typing import Final

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed
from caisey.conformance.runtimes.subject import NotTried, Subject, about, lines, output_of, quiet
from caisey.protocol.frames import Finished, Leaving, Output, Reference, Refused, Statement

GROUP: Final = "Settling"


async def repeats_until_settled(subject: Subject) -> None:
    """The end, and a refusal, on the next connection again; once settled no more."""
    link = await subject.link()
    subject.needs_shell(link)
    done, refused = subject.new_call(), subject.new_call()
    await subject.ran(link, done, command="echo kept")
    await link.dispatch(refused, tool="tool_of_nobody")
    await link.wait(Refused, about(refused))
    again = await subject.reconnected(link)
    named = {said.attempt.tool_call_id: said.state for said in again.hello.statements}
    if named.get(done) != "finished" or named.get(refused) != "closed":
        raise Failed("both in hello.statements: finished, closed", f"{named.get(done)}, {named.get(refused)}")
    await again.wait(Finished, about(done), what="`finished` again, as it is not settled")
    await again.wait(Refused, about(refused), what="`refused` again, as it is not settled")
    await again.confirm(done, stdout=5)
    await again.confirm(refused)
    await subject.heard_all(again)
    last = await subject.reconnected(again)
    left = {said.attempt.tool_call_id for said in last.hello.statements} & {done, refused}
    await subject.heard_all(last)
    if left or last.said(Finished, about=Reference(done, 1)):
        raise Failed("nothing more of what is settled", "it is stated or sent again")


async def keeps_the_row(subject: Subject) -> None:
    """Settled is forgotten output, never a second start."""
    link = await subject.link()
    subject.needs_shell(link)
    call, count = subject.new_call(), subject.counter()
    command = f"echo >> '{count}'"
    await subject.ran(link, call, command=command)
    await link.confirm(call)
    await subject.heard_all(link)
    if subject.can_launch:
        link = await subject.restart()
    for number in (1, 2):
        mark = link.mark()
        await link.dispatch(call, number, 1, command=command)
        await link.wait((Statement if number == 2 else Finished), lambda f: f.attempt.tool_call_id == call, since=mark)
    await subject.heard_all(link)
    await quiet(0.2)
    if count.exists() and lines(count) != 1:
        raise Failed("it ran once in all", f"{lines(count)} times")


async def sends_output_again(subject: Subject) -> None:
    """From the last confirmed offset, the same bytes."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="printf 0123456789; read line; printf abcdef")
    await link.wait(Output, lambda f: f.attempt == Reference(call, 1) and f.offset + len(f.data) >= 10)
    await link.confirm(call, settled=False, stdout=4)
    await subject.heard_all(link)
    again = await subject.reconnected(link)
    first = await again.wait(Output, about(call), what="`output` again, as it is not confirmed")
    if first.offset != 4:
        raise Failed("output from offset 4 on", f"from {first.offset}")
    await again.input(call, 1, b"\n", close=True)
    await again.wait(Finished, about(call))
    await again.wait(Output, lambda f: f.attempt == Reference(call, 1) and f.offset + len(f.data) >= 16)
    text = output_of([link, again], call)
    if text != b"0123456789abcdef":
        raise Failed("0123456789abcdef", text.decode("utf-8", "replace"))


async def goes_on_without_a_connection(subject: Subject) -> None:
    """A command outlives a lost connection, and its end is told on the next one."""
    link = await subject.link()
    subject.needs_shell(link)
    call = subject.new_call()
    await link.dispatch(call, command="echo up; sleep 0.3; echo end")
    await link.wait(Output, about(call))
    again = await subject.reconnected(link)
    finished = await again.wait(Finished, about(call), what="`finished` after the connection broke")
    if finished.execution.exit_code != 0:
        raise Failed("exit code 0", str(finished.execution.exit_code))
    await again.wait(Output, lambda f: f.attempt == Reference(call, 1) and f.offset + len(f.data) >= 7)
    if output_of([link, again], call) != b"up\nend\n":
        raise Failed("all of its output", "a part of it")


async def says_goodbye(subject: Subject) -> None:
    """`leaving` before it goes, where it is told to."""
    if not subject.can_launch:
        raise NotTried("it takes --launch")
    link = await subject.link()
    since = len(subject.plane.links)
    await subject.terminate()
    said = link.said(Leaving)
    await subject.launch()
    await subject.next_link(since)
    if not said:
        raise Failed("`leaving` before it goes", "nothing")


CHECKS: Final = (
    Check("repeats its last word until it is settled", GROUP, "PROTOCOL §6; RECOVERY §5", repeats_until_settled),
    Check("keeps the row of what is settled", GROUP, "PROTOCOL §6", keeps_the_row),
    Check("sends output again from the confirmed offset", GROUP, "PROTOCOL §6", sends_output_again),
    Check("goes on without a connection", GROUP, "RECOVERY §5", goes_on_without_a_connection),
    Check("says goodbye", GROUP, "PROTOCOL §7 leaving", says_goodbye),
)
