"""A network that does what networks do: between runtimes and control plane, one way and both, on both bridges.

There is no TLS here (loopback), so a changed byte reaches the parsers as it is: in a WebSocket header, in a length, in
the middle of a frame. With TLS it would end the connection. What is then read may therefore say other words than were
written; what runs, and how often, may not depend on it.
"""

from __future__ import annotations

from collections import Counter

from tests.chaos.proxy import Direction, Weather
from tests.chaos.stage import Stage, pause

WAYS: tuple[tuple[Direction, ...], ...] = (("up",), ("down",), ("up", "down"))
WEATHERS: tuple[Weather | str, ...] = ("cut", "stall", "delay", "double", "lose", "corrupt")


def network(stage: Stage, rounds: int, rate: float) -> None:
    """Each round one fault, one way or both, for a while; then clear weather for a moment."""
    assert stage.proxy is not None
    plan = [WEATHERS[number % len(WEATHERS)] for number in range(rounds)]
    stage.dice.shuffle(plan)
    done: Counter[str] = Counter()
    with stage.load(rate):
        for kind in plan:
            pause(stage.dice.uniform(0.3, 0.9))
            ways = stage.dice.choice(WAYS)
            if kind == "cut":
                done["cut"] += stage.proxy.cut()
                continue
            stage.proxy.set(kind, *ways)  # type: ignore[arg-type]
            pause(stage.dice.choice((0.3, 0.8, 2.5)) if kind in ("stall", "delay") else stage.dice.choice((0.2, 0.5)))
            stage.proxy.set("clear")
        pause(1)
    done.update(stage.proxy.done)
    said = ", ".join(f"{count} × {kind}" for kind, count in sorted(done.items()))
    stage.report.did.append(f"{rounds} disturbances of {' and '.join(stage.bridges)}: {said}")
