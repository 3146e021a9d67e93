"""The whole demonstration: which scenes there are, one after another, the table, the exit code.

Owns the order and the end. A scene that breaks is a row that is not as specified; the others are played all the same.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from caisey.cli import exit_codes, machine, profiles
from caisey.cli.demo import print_service, scenes_ends, scenes_losses, scenes_practice, spooler
from caisey.cli.demo.expected import EXPECTATIONS, Expectation
from caisey.cli.demo.household import Household
from caisey.cli.demo.judging import Found, Judged
from caisey.cli.demo.scene import Scene
from caisey.cli.demo.screen import Screen
from caisey.cli.demo.stage import BOOTING, POLICY, Stage
from caisey.cli.faults import CliFault
from caisey.cli.terminal import Terminal

SCENES: dict[str, Callable[[Scene], Found]] = {
    "empty-read": scenes_ends.empty_read,
    "malformed-call": scenes_ends.malformed_call,
    "malformed-result": scenes_practice.malformed_result,
    "orphaned": scenes_losses.orphaned,
    "died-before-start": scenes_losses.died_before_start,
    "died-during": scenes_losses.died_during,
    "died-and-adopted": scenes_losses.adopted,
    "reboot": scenes_losses.reboot,
    "asleep": scenes_practice.asleep,
    "command-failed": scenes_ends.command_failed,
    "timed-out": scenes_ends.timed_out,
    "cancelled": scenes_ends.cancelled,
    "hung-on-input": scenes_ends.hung_on_input,
    "held-and-released": scenes_losses.held,
    "control-plane-killed": scenes_losses.control_plane_killed,
    "journal-set-back": scenes_losses.journal_set_back,
    "spooler": spooler.spooler,
}


def run(terminal: Terminal, *, only: Sequence[str] = (), pause: bool = False, keep: bool = False) -> int:
    """Play the rows, print the table; the exit code: 0 only if every row was played and is as specified."""
    wanted = [expected for expected in EXPECTATIONS if not only or expected.name in only]
    began = time.monotonic()
    with _ended_in_order(), Household() as household:
        screen = Screen(terminal, household.path)
        _welcome(screen, wanted)
        with Stage(household).open() as stage:
            rows = []
            for number, expected in enumerate(wanted, 1):
                rows.append(_play(stage, screen, expected, number, len(wanted)))
                if pause and number < len(wanted):
                    terminal.say("Enter goes on.", "plain")
                    sys.stdin.readline()
            _end(terminal, screen, rows, time.monotonic() - began)
            if keep:
                _keep(terminal, stage)
    return exit_codes.OK if all(row.as_specified for row in rows) else exit_codes.FAULT


@contextlib.contextmanager
def _ended_in_order() -> Iterator[None]:
    """SIGTERM and a closed terminal end it as Ctrl-C does: with everything cleaned up."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _welcome(screen: Screen, wanted: Sequence[Expectation]) -> None:
    ways = "way" if len(wanted) == 1 else "ways"
    screen.say(
        f"{len(wanted)} {ways} in which a request stalls, with real processes on this machine: they are started, "
        "frozen, killed and started again. Below each: what Caisey says, how it knows, and how it goes on. What may "
        "change things writes a line to disk each time it starts; the lines are counted."
    )
    windows = ", ".join(f"{name.removesuffix('_s')} {value:g}" for name, value in POLICY.items() if name.endswith("_s"))
    screen.say(f"The windows are short here, so that nobody waits (seconds: {windows}); the rules are the same.", "dim")


def _play(stage: Stage, screen: Screen, expected: Expectation, number: int, count: int) -> Judged:
    """One row. What breaks it stands in the row."""
    screen.heading(number, count, expected)
    scene = Scene(stage, screen, expected)
    if (why := _why_not_here(stage, expected)) is not None:
        judged = Judged(expected, left_out=why)
    else:
        try:
            judged = Judged(expected, SCENES[expected.name](scene), shown=scene.shown)
        except CliFault as fault:
            stage.doubt(expected.computer)
            judged = Judged(expected, broken=" ".join(fault.lines()), shown=scene.shown)
    screen.judged(judged)
    return judged


def _why_not_here(stage: Stage, expected: Expectation) -> str | None:
    """Why this row cannot be played on this machine."""
    if expected.computer != BOOTING or stage.why_no_view is None:
        return None
    view = f"a view of the file system of its own ({stage.why_no_view})"
    if expected.name == "reboot":
        return f"it needs {view}"
    return None if print_service.supervisord() else f"it needs {view}, or supervisor"


def _end(terminal: Terminal, screen: Screen, rows: Sequence[Judged], seconds: float) -> None:
    good, left_out = sum(row.as_specified for row in rows), sum(row.left_out is not None for row in rows)
    if terminal.json_output:
        terminal.json(
            {
                "as_specified": good == len(rows),
                "seconds": round(seconds, 1),
                "policy": POLICY,
                "rows": [row.document() for row in rows],
            }
        )
        return
    screen.table(rows)
    screen.say("")
    screen.say(f"{good} of {len(rows)} as RECOVERY.md says. It took {seconds:.0f} s.", "bold")
    if left_out:
        screen.say(f"{left_out} left out on this machine: not passed, so the exit code is 1. --only plays the others.")


def _keep(terminal: Terminal, stage: Stage) -> None:
    """Leave it running, to be looked at, until Ctrl-C."""
    token = stage.household.path / "token"
    profiles.write_private(token, f"{stage.owner_token}\n")
    terminal.say(
        "It goes on. Look around in a browser (the link makes an account, once), or in another terminal:", "done"
    )
    terminal.say(f"  {stage.set_up_link()}")
    terminal.say(f"  {machine.own_name()} sessions --url {stage.url} --token-file {token}")
    terminal.say("Ctrl-C ends it and takes everything away.")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            signal.pause()
