"""Checking a runtime, one thing after the other.

Owns the order, the bound on each check and what of a failure is shown. A check that fails never ends the run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from caisey.conformance.runtimes.checks import CHECKS
from caisey.conformance.runtimes.form import Check, Result
from caisey.conformance.runtimes.link import Failed
from caisey.conformance.runtimes.plane import Manners
from caisey.conformance.runtimes.subject import PERSON_WITHIN_S, NotTried, Subject

CHECK_WITHIN_S: Final = 180.0


def selected(only: Sequence[str] = ()) -> list[Check]:
    """Checks whose name or group holds one of the texts; all of them where there is none."""
    names = [f"{check.group} {check.name}".lower() for check in CHECKS]
    wanted = [text.lower() for text in only]
    return [
        check for check, name in zip(CHECKS, names, strict=True) if not wanted or any(text in name for text in wanted)
    ]


async def begin(subject: Subject) -> None:
    """Until it is enrolled and connected. Raises `Failed`."""
    if subject.enroll_command:
        code = await subject.run_enrollment()
        if code != 0:
            raise Failed("an enrollment that ends with exit code 0", f"exit code {code}")
    if subject.can_launch:
        await subject.launch()
    await subject.next_link(0, 60.0 if subject.can_launch else PERSON_WITHIN_S)


async def check_all(subject: Subject, checks: Sequence[Check], told: Callable[[Result], None]) -> list[Result]:
    """Make these checks; each is told as it ends."""
    results = []
    for check in checks:
        began = time.monotonic()
        subject.plane.manners = Manners()
        try:
            async with asyncio.timeout(CHECK_WITHIN_S):
                await check.act(subject)
            result = Result(check, "passed", time.monotonic() - began)
        except Failed as failed:
            result = Result(check, "failed", time.monotonic() - began, failed.expected, failed.found)
        except NotTried as untried:
            result = Result(check, "not tried", time.monotonic() - began, "", str(untried))
        except TimeoutError:
            result = Result(check, "failed", time.monotonic() - began, f"an end within {CHECK_WITHIN_S:.0f} s", "none")
        results.append(result)
        told(result)
    return results
