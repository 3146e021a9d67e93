"""What a practice runtime can play, by the words after `practice:`.

Owns the catalogue and the reading of a command. Anything else is answered in form, with a line that says that nothing
was executed and what can be played.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from caisey.practice import results
from caisey.practice.plays import deaths, endings, frames, receipts, streams
from caisey.practice.plays.form import Asked, Play
from caisey.practice.runtime import Act
from caisey.practice.work import Work
from caisey.protocol.frames import Dispatch

PREFIX: Final = "practice:"
ONCE: Final = "once"
PLAYS: Final[tuple[Play, ...]] = (
    *receipts.PLAYS,
    *deaths.PLAYS,
    *endings.PLAYS,
    *streams.PLAYS,
    *frames.PLAYS,
)
BY_NAME: Final = {play.name: play for play in PLAYS}

_PARAMETER: Final = re.compile(r"[a-z0-9_.]{1,64}")


class Reading(NamedTuple):
    """A command that names a play."""

    play: Play
    asked: Asked


def read(text: str) -> Reading | None:
    """The play that a command asks for; `None` where it asks for none that there is.

    `practice: NAME [PARAMETER] [once]`; the longest name that fits. `once`: only the first try of a step stalls.
    """
    words = text.strip().lower()
    if not words.startswith(PREFIX):
        return None
    said = words.removeprefix(PREFIX).split()
    once = bool(said) and said[-1] == ONCE
    said = said[:-1] if once else said
    for length in range(len(said), 0, -1):
        play = BY_NAME.get(" ".join(said[:length]))
        if play is None:
            continue
        rest = said[length:]
        if not rest:
            return Reading(play, Asked(play.default, once))
        if len(rest) == 1 and play.takes and _PARAMETER.fullmatch(rest[0]):
            return Reading(play, Asked(rest[0], once))
    return None


def choose(dispatch: Dispatch) -> Act:
    """The play for a call: any text among its arguments may name one."""
    for value in dispatch.arguments.values():
        reading = read(value) if isinstance(value, str) else None
        if reading is not None:
            return _acting(reading)
    return answers


def play(name: str, parameter: str = "", *, once: bool = False) -> Act:
    """A play by name, for who chooses in code."""
    found = BY_NAME[name]
    return _acting(Reading(found, Asked(parameter or found.default, once)))


def _acting(reading: Reading) -> Act:
    async def act(work: Work) -> None:
        again = work.taken_up or (reading.asked.once and work.dispatch.attempt.number > 1)
        if again:
            await answers(work)
        else:
            await reading.play.act(work, reading.asked)

    return act


async def answers(work: Work) -> None:
    """In form and at once: the made-up result of a tool that has one, else the line that explains."""
    dispatch = work.dispatch
    made_up = results.of_call(dispatch.tool, dispatch.tool_version, dispatch.arguments, work.runtime.services)
    await work.start()
    if made_up.result is None:
        await work.output(explanation(dispatch.arguments))
    await work.finish(result=made_up.result, changes=made_up.changes or None)


def explanation(arguments: dict[str, Any]) -> str:
    """What stands on the standard output of an ordinary call."""
    asked = any(isinstance(v, str) and v.strip().lower().startswith(PREFIX) for v in arguments.values())
    head = "This practice computer does not know that play." if asked else "This is a practice computer."
    lines = [f"{head} Nothing was executed.", "", f"It plays what a command says after `{PREFIX}`:", ""]
    width = max(len(_spelling(play)) for play in PLAYS) + 2
    lines += [f"  {_spelling(play).ljust(width)}{play.summary}" for play in PLAYS]
    lines += ["", f"With `{ONCE}` at the end only the first try of the step stalls, and sending it again works.", ""]
    return "\n".join(lines)


def _spelling(play: Play) -> str:
    return f"{PREFIX} {play.name}" + (f" [{play.takes}]" if play.takes else "")
