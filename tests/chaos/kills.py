"""`kill -9` of the control plane and of the runtime at random moments, while prompts keep coming.

Nobody says goodbye: what was accepted stands in the log or nowhere, what was started stands in the journal or nowhere.
"""

from __future__ import annotations

import signal

from tests.chaos.stage import Stage, pause


def kills(stage: Stage, rounds: int, rate: float) -> None:
    """So many deaths, half of each kind; the dead one is started again at once."""
    killed = {"control planes": 0, "runtimes": 0}
    with stage.load(rate):
        for _ in range(rounds):
            pause(stage.dice.uniform(0.2, 1.2))
            if stage.dice.random() < 0.5:
                stage.plane.kill()
                stage.plane.start()
                killed["control planes"] += 1
            else:
                stage.runtime.end(signal.SIGKILL)
                stage.runtime.start()
                killed["runtimes"] += 1
        pause(1)
    stage.report.did.append(
        f"{killed['control planes']} control planes and {killed['runtimes']} runtimes killed with -9, at {rate:g} "
        "prompts/s"
    )
    stage.report.figures |= {name: float(count) for name, count in killed.items()}
