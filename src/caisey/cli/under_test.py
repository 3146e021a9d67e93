"""`caisey conformance runtime`: a runtime is started, checked, and what came of each check is shown.

Owns the order, the words and the exit code. What is checked is `caisey.conformance.runtimes`'s.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caisey.cli.command import Run
from caisey.cli.exit_codes import FAULT
from caisey.cli.faults import CliFault, UsageFault

if TYPE_CHECKING:
    from caisey.conformance.runtimes.form import Result

LOG_TAIL = 2000


@dataclass(frozen=True)
class Plan:
    """What the person asked for. `enroll` and `launch` are empty where they do it by hand."""

    host: str
    port: int
    enroll: str
    launch: str
    only: tuple[str, ...]
    within_s: float


def check(run: Run, plan: Plan) -> int:
    """Check it, show it; the exit code. CliFault where the runtime does not come at all."""
    with tempfile.TemporaryDirectory(prefix="caisey-conformance-") as name:
        results = asyncio.run(_check(run, plan, Path(name)))
    failed = sum(result.outcome == "failed" for result in results)
    untried = sum(result.outcome == "not tried" for result in results)
    if run.json:
        run.terminal.json({"checks": [_as_document(r) for r in results], "failed": failed, "not_tried": untried})
    note = f" {untried} could not be tried." if untried else ""
    if failed:
        run.terminal.say(f"{failed} of {len(results)} checks failed.{note}", "alarm")
    else:
        run.terminal.say(f"{len(results) - untried} checks passed.{note}", "done")
    return FAULT if failed else 0


async def _check(run: Run, plan: Plan, directory: Path) -> list[Result]:
    from caisey.conformance.runtimes.link import Failed
    from caisey.conformance.runtimes.plane import Plane
    from caisey.conformance.runtimes.run import begin, check_all, selected
    from caisey.conformance.runtimes.subject import Subject

    checks = selected(plan.only)
    if not checks:
        raise UsageFault(f"No check has {' or '.join(plan.only)} in its name", hint="Leave --only out.")
    plane = Plane(plan.within_s)
    try:
        await plane.start(plan.host, plan.port)
    except OSError as error:
        where = f"{plan.host}:{plan.port}"
        raise CliFault(f"{where} cannot be listened at: {error.strerror}", code="cli.port_in_use") from error
    subject = Subject(plane, directory, enroll=plan.enroll, launch=plan.launch)
    show = _Show(run)
    try:
        show.where(plane.url, plane.token, by_hand=not (plan.enroll and plan.launch))
        await begin(subject)
        return await check_all(subject, checks, show.told)
    except Failed as failed:
        words = f"Expected {failed.expected}, found {failed.found}."
        hint = f"{words}\n{_log_tail(directory)}".strip()
        raise CliFault("The runtime did not connect", hint=hint, code="cli.no_runtime") from failed
    except (OSError, ValueError) as error:
        raise CliFault(f"The runtime cannot be started: {error}", code="cli.no_runtime") from error
    finally:
        run.terminal.clear_status()
        await subject.close()
        await plane.stop()


def _log_tail(directory: Path) -> str:
    log = directory / "runtime.log"
    return log.read_text("utf-8", "replace")[-LOG_TAIL:] if log.exists() else ""


class _Show:
    """Checks on the terminal, each as it ends, under its group."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._group = ""

    def where(self, url: str, token: str, *, by_hand: bool) -> None:
        """What a person needs to start the runtime. The token is good for this run alone."""
        if by_hand:
            self._run.terminal.say(f"Enroll and start your runtime now. Control plane: {url}", "wait")
            self._run.terminal.say(f"Enrollment token: {token}")
        else:
            self._run.terminal.status(f"Enrolling and starting the runtime at {url}")

    def told(self, result: Result) -> None:
        """One more check."""
        if self._run.json:
            return
        terminal = self._run.terminal
        terminal.clear_status()
        if result.check.group != self._group:
            self._group = result.check.group
            terminal.print(f"\n{self._group}", "bold")
        mark = {"passed": "✓", "failed": "✗", "not tried": "\u2013"}[result.outcome]
        style = {"passed": "green", "failed": "red", "not tried": "dim"}[result.outcome]
        terminal.print(f"{mark} {result.check.name}  {result.seconds:.1f} s", style)
        if result.outcome == "failed":
            terminal.print(f"    {result.check.rule}")
            terminal.print(f"    expected {result.expected}")
            terminal.print(f"    found    {result.found}")
        elif result.outcome == "not tried":
            terminal.print(f"    {result.found}")


def _as_document(result: Result) -> dict[str, Any]:
    return {
        "group": result.check.group,
        "check": result.check.name,
        "rule": result.check.rule,
        "outcome": result.outcome,
        "seconds": round(result.seconds, 3),
        "expected": result.expected,
        "found": result.found,
    }
