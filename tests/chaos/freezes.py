"""SIGSTOP and SIGCONT: a program that stands still without being gone, as under a debugger or a paused machine.

Silence longer than two heartbeats, than the window for a confirmation, than the window for the journal's word; of the
runtime, of the control plane, and of both at once.
"""

from __future__ import annotations

import signal

from tests.chaos.stage import Stage, pause, signal_process

LONGEST_S = 8.0
"""Past every window of the stage's policy: 1 s to unhealthy, 2 s to orphaned, 4 s to lost for good."""


def freezes(stage: Stage, rounds: int, rate: float) -> None:
    """Each round one victim stands still for a while."""
    stood = {"runtime": 0.0, "control plane": 0.0, "both": 0.0}
    with stage.load(rate):
        for number in range(rounds):
            pause(stage.dice.uniform(0.3, 1.0))
            who = list(stood)[number % 3]
            seconds = stage.dice.choice((0.7, 1.5, 3.0, LONGEST_S))
            pids = {"runtime": [stage.runtime.pid], "control plane": [stage.plane.pid]}
            _freeze(pids.get(who) or [stage.runtime.pid, stage.plane.pid], seconds)
            stood[who] += seconds
        pause(1)
    stage.report.did.append(
        f"{rounds} freezes: "
        + ", ".join(f"the {who} {seconds:.1f} s" for who, seconds in stood.items()).replace("the both", "both")
    )


def _freeze(pids: list[int], seconds: float) -> None:
    for pid in pids:
        signal_process(pid, signal.SIGSTOP)
    try:
        pause(seconds)
    finally:
        for pid in pids:
            signal_process(pid, signal.SIGCONT)
