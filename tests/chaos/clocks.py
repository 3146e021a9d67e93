"""Wall clocks that step, forward and back, of the control plane and of the endpoint, while they run.

The deadlines of what is open move with the step: nothing that runs is given up because of it, nothing that is held
expires, and nothing waits for the day that the clock was set back to. The age of a consent is wall time and does not
move: what may change things and is too old by that clock is asked about, which is as good an end as an answer.
"""

from __future__ import annotations

import signal
import time

from tests.chaos.clock import LOOKED_AT_EVERY_S
from tests.chaos.stage import Stage, pause, signal_process
from tests.end_to_end.server import until

STEPS_S = (2, 90, 3600, 86_400, 40 * 86_400)
HOUR_S, DAY_S = 3600, 86_400
SEEN_WITHIN_S = 30.0
STEP_IS_IN = LOOKED_AT_EVERY_S + 1.0


def clocks(stage: Stage, rounds: int, rate: float) -> None:
    """Steps of random size under load, then the three promises about them one by one."""
    now = dict.fromkeys(stage.clocks, 0)
    with stage.load(rate):
        for number in range(rounds):
            name = list(now)[number % 2]
            now[name] += stage.dice.choice((-1, 1)) * stage.dice.choice(STEPS_S)
            stage.clocks[name].set(now[name])
            pause(stage.dice.uniform(STEP_IS_IN, STEP_IS_IN + 1))
    stage.report.did.append(
        f"{rounds} steps of the wall clocks under load; at the end "
        + ", ".join(f"the {name.replace('_', ' ')} is {seconds:+d} s from the machine" for name, seconds in now.items())
    )
    _a_command_that_runs(stage, now["control_plane"])
    _a_call_that_is_held(stage, now["control_plane"] + HOUR_S)
    _back_in_time(stage, now["control_plane"] + HOUR_S)


def _step(stage: Stage, offset_s: int) -> None:
    """Both programs see it: the control plane shows its time with every answer's `at`, and in its log."""
    seen = stage.plane.log.read_text(errors="replace").count("clock.stepped")
    stage.clocks["control_plane"].set(offset_s)
    until(
        lambda: stage.plane.log.read_text(errors="replace").count("clock.stepped") > seen,
        within=SEEN_WITHIN_S,
        what=f"the control plane sees a step to {offset_s:+d} s",
    )


def _a_command_that_runs(stage: Stage, offset_s: int) -> None:
    """An hour passes on the clock, a moment on the computer."""
    # One that reads: the age of a consent is wall time, and a step that is seen a moment late would make it a question.
    prompt_id = stage.ask(stage.runtime.endpoint_id, "sleep 4; echo here", "read_only")
    until(lambda: stage.last(prompt_id)["state"] == "started", within=SEEN_WITHIN_S, what="it has started")
    _step(stage, offset_s + HOUR_S)
    found = stage.verdict(prompt_id)
    stage.report.hold("a command that runs outlives a step of an hour", found == ("answered", "yes"), str(found))


def _a_call_that_is_held(stage: Stage, offset_s: int) -> None:
    """It is held for 10 minutes at most; the clock goes on by an hour."""
    signal_process(stage.runtime.pid, signal.SIGSTOP)
    try:
        until(lambda: not stage.sendable(stage.runtime.endpoint_id), within=SEEN_WITHIN_S, what="it is not sendable")
        prompt_id = stage.ask(stage.runtime.endpoint_id, "echo here", "read_only")
        until(lambda: stage.last(prompt_id)["state"] == "held", within=SEEN_WITHIN_S, what="it is held")
        _step(stage, offset_s + HOUR_S)
        pause(1)
        still = stage.last(prompt_id)
    finally:
        signal_process(stage.runtime.pid, signal.SIGCONT)
        stage.clocks["control_plane"].set(offset_s)
    stage.report.hold(
        "a call that is held is still held after a step of an hour",
        still["state"] == "held",
        f"{still['state']} {still['verdict'] and still['verdict']['kind']}",
    )
    found = stage.verdict(prompt_id)
    stage.report.hold("and goes out once the endpoint is there", found == ("answered", "yes"), str(found))


def _back_in_time(stage: Stage, offset_s: int) -> None:
    """Set back by a day: what is lost is known within seconds, not tomorrow."""
    prompt_id = stage.ask(stage.runtime.endpoint_id, "sleep 8; echo here")
    until(lambda: stage.last(prompt_id)["state"] == "started", within=SEEN_WITHIN_S, what="it has started")
    _step(stage, offset_s - DAY_S)
    began = time.monotonic()
    signal_process(stage.runtime.pid, signal.SIGSTOP)
    try:
        until(lambda: stage.last(prompt_id)["state"] == "lost", within=SEEN_WITHIN_S, what="it is lost")
        took = time.monotonic() - began
        stage.report.held.append(
            f"after a step back by a day a runtime that stands still is known as lost in {took:.1f} s"
        )
        kind, ran = stage.verdict(prompt_id)
        stage.report.hold(
            "and the end of that is concluded, not better than it is proved",
            (kind, ran) == ("runtime_died", "unconfirmed"),
            f"{kind}, ran {ran}",
        )
    except AssertionError as error:
        stage.report.broken.append(str(error))
    finally:
        signal_process(stage.runtime.pid, signal.SIGCONT)
    late = until(
        lambda: (stage.last(prompt_id)["verdict"] or {}).get("kind") == "answered",
        within=SEEN_WITHIN_S * 2,
        what="the journal's word refines it to answered",
    )
    stage.report.hold("what the runtime says later refines it", late)
