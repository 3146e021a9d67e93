"""Stalls in which the command itself ends, or would: empty, refused by its shape, failed, too slow, stopped, asking.

Owns these scenes; what should come of them stands in `expected`.
"""

from __future__ import annotations

from caisey.cli.demo.judging import Found
from caisey.cli.demo.scene import Scene, has, shell, stands
from caisey.cli.faults import Problem

SPOOL_LOG = "job 17 printed\njob 18 waits: no paper\n"


def empty_read(s: Scene) -> Found:
    """A read that succeeds and prints nothing: never sent again by itself."""
    s.computer()
    log = s.stage.household.path / "spool.log"
    log.write_text(SPOOL_LOG)
    s.clock()
    prompt = s.ask(shell(f"sed -n /toner/p {log}", "read_only"))
    s.known(prompt, has("empty"))
    s.act(prompt, "adjust", reason="look for the word that it uses", arguments={"command": f"sed -n /paper/p {log}"})
    return s.ends(prompt)


def malformed_call(s: Scene) -> Found:
    """Arguments that do not fit the tool: named fault by fault, and nothing is sent."""
    s.computer()
    log = s.stage.household.path / "spool.log"
    log.write_text(SPOOL_LOG)
    wrong = {"tool": "file_read", "arguments": {"path": 7, "lines": "all"}, "effect": "read_only"}
    s.screen.asks(wrong, s.me)
    s.clock()
    try:
        s.send(wrong)
    except Problem as problem:
        sent = any(event["type"] == "attempt.queued" for event in s.events())
        s.note(problem.code.rpartition(".")[2], "unconfirmed" if sent else "no")
        s.refused(problem)
    known = s.api.items("/reports/shapes")
    s.also += ["in the ledger of shapes" for item in known if "file_read 1" in item["tools"]][:1]
    prompt = s.ask({**wrong, "arguments": {"path": str(log)}})
    return s.ends(prompt, refused=True)


def command_failed(s: Scene) -> Found:
    """An exit code other than 0: it ran, and says what was wrong."""
    s.computer()
    s.clock()
    prompt = s.ask(shell("cat /etc/printer.conf", "read_only"))
    s.known(prompt, has("command_failed"))
    s.act(prompt, "adjust", reason="the file has another name", arguments={"command": "cat /etc/hostname"})
    return s.ends(prompt)


def timed_out(s: Scene) -> Found:
    """Its own limit passes: the whole tree is ended, what it wrote until then is kept."""
    s.computer()
    s.clock()
    prompt = s.ask(shell("echo 1 of 2; sleep 1.4; echo 2 of 2", "read_only", limits={"time_ms": 1000}))
    s.known(prompt, has("timed_out"))
    s.act(prompt, "retry", reason="it needs longer", limits={"time_ms": 60_000})
    return s.ends(prompt)


def cancelled(s: Scene) -> Found:
    """A person stops it: a wish, until the computer confirms the end."""
    s.computer()
    prompt = s.ask(shell(f"echo ran >> {s.trace}; sleep 60"))
    s.until(prompt, lambda call: stands("started")(call) and s.starts())
    s.clock()
    s.act(prompt, "cancel", reason="the wrong computer")
    s.known(prompt, has("cancelled"))
    return s.ends(prompt)


def hung_on_input(s: Scene) -> Found:
    """A question that nobody sees: the notice names its last line, and ends nothing."""
    s.computer()
    s.clock()
    question = "printf 'Delete 3 old jobs? [y/N] '; read answer; echo answered $answer"
    prompt = s.ask(shell(f"echo ran >> {s.trace}; {question}"))
    call = s.known(prompt, lambda call: call["attempts"][-1]["notice"] == "waits_for_input")
    s.also += [line for line in (call["now"]["summary"].partition("Last line: ")[2],) if line]
    s.act(prompt, "input", reason="they are old", data="y\n")
    return s.ends(prompt)
