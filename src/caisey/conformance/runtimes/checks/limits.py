"""The limits of PROTOCOL.md §9 that a runtime keeps, and that every frame of the whole run could be read."""

from __future__ import annotations

from typing import Any, Final

from caisey.conformance.runtimes.form import Check
from caisey.conformance.runtimes.link import Failed, Link
from caisey.conformance.runtimes.subject import Subject, about
from caisey.protocol import limits
from caisey.protocol.frames import Acknowledged, Finished, Refused, Statement

GROUP: Final = "Limits"
MORE: Final = limits.RUNNING_CALLS + limits.WAITING_CALLS + 8


async def is_busy_at_its_limit(subject: Subject) -> None:
    """32 run, 256 wait, and the next one is refused as busy; never lost, never run."""
    link = await subject.link()
    subject.needs_shell(link)
    calls = [subject.new_call() for _ in range(MORE)]
    mark = link.mark()
    for call in calls:
        await link.dispatch(call, command="sleep 600")
    answered = {}
    for call in calls:
        answered[call] = await _word(link, call, (Acknowledged, Refused), mark, "`acknowledged` or `refused`")
    refused = [f for f in answered.values() if isinstance(f, Refused)]
    mark = link.mark()
    for call in calls:
        await link.cancel(call)
    for call, said in answered.items():
        kinds: tuple[type[Any], ...] = (Finished, Statement) if isinstance(said, Acknowledged) else (Statement, Refused)
        await _word(link, call, kinds, mark, "the end of what was stopped")
        await link.confirm(call)
    await subject.heard_all(link)
    if not refused or any(frame.code != "runtime.busy" for frame in refused):
        codes = sorted({frame.code for frame in refused})
        raise Failed(f"`refused` runtime.busy beyond {MORE - 8} calls", f"{len(refused)} refused {codes}")


async def _word(link: Link, call: str, kinds: tuple[type[Any], ...], since: int, what: str) -> Any:
    """The first frame of one of these kinds about a call."""

    def fits(frame: Any) -> bool:
        return isinstance(frame, kinds) and about(call)(frame)

    return await link.wait(object, fits, since=since, within_s=60, what=what)


async def every_frame_could_be_read(subject: Subject) -> None:
    """Of all connections of this run."""
    for link in subject.plane.links:
        for fault in link.faults:
            places = ", ".join(f"{e.pointer or '/'} {e.expected}" for e in fault.errors[:3])
            raise Failed(f"`{fault.frame_type}` in form: {places}", fault.code)


CHECKS: Final = (
    Check("is busy at its limit", GROUP, "PROTOCOL §9 runtime.busy", is_busy_at_its_limit),
    Check("sent no frame that cannot be read", GROUP, "PROTOCOL §1, §4, §5, §7", every_frame_could_be_read),
)
