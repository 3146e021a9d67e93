"""Stalls that an honest runtime cannot produce on demand, played by a practice runtime, which says so itself.

Owns these scenes; what should come of them stands in `expected`.
"""

from __future__ import annotations

from caisey.cli.demo.judging import Found, standing
from caisey.cli.demo.scene import Scene, has, shell, stands
from caisey.cli.faults import fault_line

ASLEEP_S = 3


def malformed_result(s: Scene) -> Found:
    """It ran to its end, and part of what it answers has another shape than the protocol says."""
    s.computer()
    s.does("caisey practice", "what this computer answers is made up, on purpose in a wrong shape")
    s.clock()
    prompt = s.ask(shell("practice: malformed result"))
    call = s.known(prompt, has("malformed_result"))
    faults = [fault_line(fault) for fault in call["attempts"][-1]["shape_faults"]]
    raw = b"".join(s.api.text(f"/tool-calls/{call['id']}/output", attempt=1, stream="result"))
    s.screen.shows([*faults, f"Raw answer, {len(raw)} bytes kept: {raw.decode('utf-8', 'replace')}"])
    s.also += [*faults, *(["raw bytes kept"] if b"an object where a list is wanted" in raw else [])]
    s.act(prompt, "accept_partial", reason="the output is enough")
    return s.ends(prompt)


def asleep(s: Scene) -> Found:
    """It says that it goes to sleep, with one command running; another one is asked for meanwhile."""
    s.computer()
    s.does("caisey practice", f"this computer plays a sleep of {ASLEEP_S} s; clocks that stop cannot be had on demand")
    first = s.ask(shell(f"practice: sleep {ASLEEP_S}", "read_only"))
    running = s.until(first, stands("lost"))
    s.clock()
    second = s.ask(shell("uptime", "read_only"), side_by_side=True)
    s.known(second, stands("held"))
    s.also.append(f"running one: {standing(running['attempts'][-1])}")
    s.until(first, has("answered"), quietly=True)
    return s.ends(second)
