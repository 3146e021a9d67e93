"""The pages `docs/states.md` and `docs/errors.md`, written from the tables and the catalogue of codes.

Owns the pages' words and form, and nothing that is true: every state, step, owner and code stands in the tables that
the program runs by. `make docs` writes them; a test keeps them in step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from caisey.core import attempt, session, tool_call
from caisey.core import events as e
from caisey.core.catalogue import ENGLISH
from caisey.core.errors import CODES
from caisey.core.present_attempt import OWNERS
from caisey.core.recovery import REPLACED_CODES, Automatic, automatic
from caisey.core.states import AttemptState, CallState, Effect, Kind, PromptState, Ran

_GENERATED: Final = "Generated from the code by `make docs`; do not edit."

_DEADLINES: Final[dict[AttemptState, str]] = {
    AttemptState.QUEUED: "at once; while an agent is asked to show that it answers, at most 2 s",
    AttemptState.HELD: "`hold_expiry`; because of sleep, `sleep_expiry`",
    AttemptState.AWAITING_APPROVAL: "`approval_expiry`",
    AttemptState.DISPATCHED: "`ack_window`; the journal is asked 2 s before its end (at its half below 4 s)",
    AttemptState.ACKNOWLEDGED: "two heartbeat intervals after the last sign of life, then the journal is asked",
    AttemptState.STARTED: "two heartbeat intervals after the last sign of life, then the journal is asked",
    AttemptState.LOST: "`reconcile_window`; after it said that it goes to sleep, `sleep_expiry`",
}
_PERSON_HOLDS: Final = "a hold of which only a person can decide: the technician, or `escalate_to`"

_STATES_HEAD: Final = f"""# States

{_GENERATED}

Three machines: an attempt is one dispatch to one runtime; a tool call is one step, with all its attempts; a prompt is
one request. Each is a table (`core/attempt.py`, `core/tool_call.py`, `core/session.py`): a step that is not in it does
not exist, and a defect of ours raises instead of moving anything. Names are those of the event log.
"""
_ERRORS_HEAD: Final = f"""# Codes

{_GENERATED}

Every fault has a stable dotted code. Match on codes, never on prose. Over HTTP a fault is a problem document
(`application/problem+json`) with `code`, `title`, `hint` and, where a form does not fit, every place in `errors`.
Codes without a status are never an HTTP answer: they stand in verdicts, refusals and evidence.

The codes with which a tool itself fails are in [tools.md](tools.md); exit codes of the program in [cli.md](cli.md).
"""


def states_page() -> str:
    """`docs/states.md`."""
    parts = [
        _STATES_HEAD,
        *_machine("Attempt", attempt.TRANSITIONS, AttemptState.QUEUED, e.AttemptQueued),
        "### Who, until when, what then\n",
        *_standings(),
        "### Evidence\n",
        "These are recorded in every state and move nothing by themselves:\n",
        ", ".join(sorted(f"`{e.type_of_class(cls)}`" for cls in attempt.NEUTRAL)) + ".\n",
        *_machine("Tool call", _single(tool_call.TRANSITIONS), CallState.PENDING, e.PromptAccepted),
        *_machine("Prompt", _single(session.PROMPT_TRANSITIONS), PromptState.RUNNING, e.PromptAccepted),
        "## What happens by itself\n",
        *_automatic(),
    ]
    return "\n".join(parts)


Table = Mapping[StrEnum, Mapping[type[e.Event], tuple[StrEnum, ...]]]


def _single(table: Mapping[Any, Mapping[type[e.Event], StrEnum]]) -> Table:
    """A table whose steps lead to one state each, in the form of one that may lead to several."""
    return {state: {event: (to,) for event, to in row.items()} for state, row in table.items()}


def _machine(name: str, table: Table | Mapping[Any, Any], first: StrEnum, begins: type[e.Event]) -> Iterator[str]:
    yield f"## {name}\n"
    yield "```mermaid\nstateDiagram-v2"
    yield f"    [*] --> {first.value}: {e.type_of_class(begins)}"
    for state, to, events in _edges(table):
        yield f"    {state.value} --> {to.value}: {', '.join(events)}"
    yield "```\n"
    yield "| in | event | becomes |\n|---|---|---|"
    for state, row in table.items():
        for event, targets in row.items():
            yield f"| `{state.value}` | `{e.type_of_class(event)}` | {' or '.join(f'`{t.value}`' for t in targets)} |"
    yield ""


def _edges(table: Table | Mapping[Any, Any]) -> Iterator[tuple[StrEnum, StrEnum, list[str]]]:
    """(from, to, events), a step that leads back to its own state left to the table below the picture."""
    for state, row in table.items():
        by_target: dict[StrEnum, list[str]] = {}
        for event, targets in row.items():
            for target in targets:
                if target is not state:
                    by_target.setdefault(target, []).append(_last_word(e.type_of_class(event)))
        for target, events in by_target.items():
            yield state, target, events


def _last_word(name: str) -> str:
    return name.rpartition(".")[2]


def _standings() -> Iterator[str]:
    yield "| state | owner | deadline | if it passes | shown as |\n|---|---|---|---|---|"
    for state, (owner, then) in OWNERS.items():
        owner_words = f"`{owner}`" + (f"; {_PERSON_HOLDS}" if state is AttemptState.HELD else "")
        yield f"| `{state.value}` | {owner_words} | {_DEADLINES[state]} | `{then.value}` | {_labels(state)} |"
    yield ""
    yield "A tool call that is `waiting` is owned by `escalate_to`, else by the session's owner; its deadline is the"
    yield "next reminder, its exit a person's action. No deadline of what was there before a start of the control"
    yield "plane is judged before the grace after it has passed.\n"


def _labels(state: AttemptState) -> str:
    entries = ENGLISH.entries.items()
    labels = [entry.label for key, entry in entries if key.partition(".")[0] == state.value]
    return " · ".join(dict.fromkeys(labels))


_TOLD: Final[dict[Automatic, str]] = {
    Automatic.NOTHING: "nothing",
    Automatic.REQUEUE: "sent again",
    Automatic.REQUEUE_SAME_JOURNAL: "sent again only to the same journal, else held until it answers",
    Automatic.RETRY: "run again, by one more consent of the policy",
    Automatic.REPLACE: "queued again, not counted",
}


def _automatic() -> Iterator[str]:
    """The recovery table, as `automatic` answers it."""
    yield "Counted up to `max_automatic`, for the effects of `automatic_for`; then it waits for a person.\n"
    yield "| verdict | ran | " + " | ".join(f"`{effect.value}`" for effect in Effect) + " |"
    yield "|---|---|" + "---|" * len(Effect)
    for kind in Kind:
        for ran in Ran:
            answers = [automatic(kind, ran, None, effect) for effect in Effect]
            if any(answer is not Automatic.NOTHING for answer in answers):
                yield f"| `{kind.value}` | `{ran.value}` | " + " | ".join(_TOLD[answer] for answer in answers) + " |"
    codes = ", ".join(f"`{code}`" for code in sorted(REPLACED_CODES))
    yield ""
    yield f"`refused` with {codes}: {_TOLD[Automatic.REPLACE]}. After anything else: {_TOLD[Automatic.NOTHING]}.\n"


def errors_page() -> str:
    """`docs/errors.md`."""
    lines: list[str] = [_ERRORS_HEAD]
    for family, codes in groupby(sorted(CODES), key=_family):
        lines += [f"## {family}\n", "| code | HTTP | what it says | what to do |", "|---|---|---|---|"]
        lines += [*_rows(codes), ""]
    return "\n".join(lines)


def _family(code: str) -> str:
    return code.partition(".")[0]


def _rows(codes: Iterable[str]) -> Iterator[str]:
    for code in codes:
        meaning = CODES[code]
        yield f"| `{code}` | {meaning.status or ''} | {_cell(meaning.title)} | {_cell(meaning.hint)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
