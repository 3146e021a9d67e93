"""What a builtin costs from spawn to exit, beside a bare Python. `python -m tests.bench.tools`."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from caisey.tools.checking import arguments_shape
from caisey.tools.planning import Plan, plan
from tests.tools.carrying_out import carry_out, tool

ROUNDS = 15
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("shell", {"command": "true"}),
    ("file_read", {"path": "/etc/hostname"}),
    ("system_info", {}),
    ("disk_usage", {}),
    ("processes", {}),
    ("network", {}),
    ("service", {"name": "no-such-service", "action": "status"}),
]


def milliseconds(action: Callable[[], object]) -> list[float]:
    """Sorted times of some rounds."""
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        taken.append((time.perf_counter() - began) * 1_000)
    return sorted(taken)


def line(name: str, taken: list[float]) -> None:
    print(f"{name:<28}{taken[0]:10.1f}{statistics.median(taken):10.1f}")


def main() -> None:
    print(f"{'milliseconds':<28}{'best':>10}{'median':>10}")
    bare = Plan((sys.executable, "-I", "-S", "-c", "pass"), "", "/")
    line("python -I -S -c pass", milliseconds(lambda: carry_out(bare)))
    for name, arguments in CALLS:
        made = plan(tool(name), arguments, "linux")
        line(name, milliseconds(partial(carry_out, made)))
    shell = tool("shell")
    began = time.perf_counter()
    for _ in range(1_000):
        arguments_shape(shell, {"command": "true"})
        plan(shell, {"command": "true"}, "linux")
    print(f"\ncheck and plan one call: {(time.perf_counter() - began) * 1_000:.1f} µs")


if __name__ == "__main__":
    main()
