"""Full disks: of the control plane, then of the endpoint; also a kill and a start while nothing can be written.

What must be seen is a refusal with a code, never a 202 for something that is not on the disk, and no promise that the
journal cannot keep; and that everything goes on by itself once there is room.
"""

from __future__ import annotations

import signal
import subprocess
from collections import Counter

from tests.chaos.report import Report
from tests.chaos.stage import Stage, pause, tail
from tests.end_to_end.server import START_WITHIN_S, command, until

FULL_S = (0.5, 1.5, 3.0)
LEFT = (0, 0, 4096, 20_000, 100_000)
FELT_WITHIN_S = 20.0


def disks(stage: Stage, rounds: int, rate: float) -> None:
    """Each round one disk is full for a while; the last one of each with a kill in the middle."""
    filled: Counter[str] = Counter()
    with stage.load(rate) as load:
        for number in range(rounds):
            pause(stage.dice.uniform(0.3, 0.8))
            name = ("control_plane", "runtime")[number % 2]
            disk = stage.disks[name]
            disk.fill(stage.dice.choice(LEFT))
            filled[name] += 1
            pause(stage.dice.choice(FULL_S))
            if number < 2:  # once for each: it is felt, and it is said
                disk.fill()
                _felt(stage, name, load.put_off)
            disk.free()
    stage.report.did.append(
        f"the control plane's disk was full {filled['control_plane']} times, the endpoint's {filled['runtime']} times; "
        f"answers meanwhile: {dict(load.put_off)}"
    )
    with stage.load(rate) as load:
        pause(0.5)
        _killed_while_full(stage)
        pause(0.5)
    stage.report.did.append("each program was killed on a full disk, and started on it")


def _felt(stage: Stage, name: str, put_off: dict[str, int]) -> None:
    """The control plane refuses with a code; the endpoint is not sendable, with its reason."""
    if name == "control_plane":
        what = "a full disk of the control plane is answered with 503 server.storage_failed"
        _hold(stage.report, what, lambda: put_off.get("server.storage_failed"))
    else:
        what = "an endpoint whose journal cannot be written is not sendable"
        endpoint = stage.runtime.endpoint_id
        _hold(stage.report, what, lambda: not stage.sendable(endpoint))


def _hold(report: Report, what: str, condition: object) -> None:
    try:
        until(condition, within=FELT_WITHIN_S, what=what)  # type: ignore[arg-type]
    except AssertionError as error:
        report.broken.append(str(error))
    else:
        report.held.append(what)


def _killed_while_full(stage: Stage) -> None:
    """Started on a full disk a program serves, or ends with words; with room it starts as ever."""
    stage.disks["runtime"].fill()
    stage.runtime.end(signal.SIGKILL)
    stage.runtime.start()
    pause(2)
    stage.disks["runtime"].free()
    if not stage.runtime.alive:
        stage.runtime.start()
    stage.disks["control_plane"].fill()
    stage.plane.kill()
    try:
        words = ["serve", "--data-dir", str(stage.plane.data_dir), "--listen", f"127.0.0.1:{stage.plane.port}"]
        done = subprocess.run([*command(), *words], capture_output=True, timeout=4, check=False)
    except subprocess.TimeoutExpired:
        stage.report.held.append("a control plane starts on a full disk")
    else:
        said = done.stderr.decode(errors="replace")
        stage.report.hold(
            "a control plane that cannot start on a full disk says so",
            done.returncode and "Traceback" not in said,
            said,
        )
    stage.disks["control_plane"].free()
    stage.plane.start()
    until(lambda: stage.sendable(stage.runtime.endpoint_id), within=START_WITHIN_S, what=tail(stage.runtime.log))
