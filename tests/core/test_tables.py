"""The tables, walked: every state has its row, every state is reached and left, every other pair is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import pytest
from msgspec.structs import fields, replace

from caisey.core import attempt as attempts
from caisey.core import events as e
from caisey.core import session as sessions
from caisey.core import tool_call as calls
from caisey.core.attempt import Attempt, ImpossibleTransition
from caisey.core.states import AttemptState, CallState, Effect, PromptState
from caisey.core.tool_call import ImpossibleStep, ToolCall

AT = 1_700_000_000_000
Row = Mapping[type[e.Event], tuple[Any, ...]]


def _single(table: Mapping[Any, Mapping[type[e.Event], Any]]) -> dict[Any, Row]:
    return {state: {event: (target,) for event, target in row.items()} for state, row in table.items()}


MACHINES: dict[str, tuple[type[Enum], Enum, Enum, Mapping[Any, Row]]] = {
    "attempt": (AttemptState, AttemptState.QUEUED, AttemptState.ENDED, attempts.TRANSITIONS),
    "tool call": (CallState, CallState.PENDING, CallState.ENDED, _single(calls.TRANSITIONS)),
    "prompt": (PromptState, PromptState.RUNNING, PromptState.ENDED, _single(sessions.PROMPT_TRANSITIONS)),
}


def reached(table: Mapping[Any, Row], start: Enum) -> set[Enum]:
    seen, todo = {start}, [start]
    while todo:
        for targets in table[todo.pop()].values():
            todo += [target for target in targets if target not in seen]
            seen.update(targets)
    return seen


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_has_a_row_is_reached_and_leads_to_an_end(name: str) -> None:
    states, start, end, table = MACHINES[name]
    assert set(table) == set(states)
    assert reached(table, start) == set(states)
    for state in states:
        assert end in reached(table, state)


EVENTS = sorted(set(e.EVENT_TYPES.values()), key=lambda event: event.__name__)
OF_ATTEMPTS = [event for event in EVENTS if issubclass(event, e.AttemptEvent) and event is not e.AttemptQueued]
OF_CALLS = [event for event in EVENTS if issubclass(event, e.CallEvent) and not issubclass(event, e.AttemptEvent)]


def bare(event: type[e.Event]) -> e.Event:
    """One without contents: where the table refuses it, nobody looks into it."""
    return event(**{field.name: None for field in fields(event) if field.required})


def refused_by(fold: Callable[[e.Recorded], object], event: type[e.Event]) -> bool:
    try:
        with contextlib.suppress(
            AttributeError, TypeError, KeyError, ValueError
        ):  # it was let in, and had nothing in it
            fold(e.Recorded(AT, e.CONTROL_PLANE, bare(event), None, 1))
    except (ImpossibleTransition, ImpossibleStep):
        return True
    return False


def an_attempt(state: AttemptState) -> Attempt:
    return Attempt(tool_call_id="tcl_1", number=1, consent=1, queued_at_ms=AT, state=state)


@pytest.mark.parametrize("event", OF_ATTEMPTS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("state", AttemptState)
def test_an_attempt_takes_what_its_table_has_and_nothing_else(state: AttemptState, event: type[e.Event]) -> None:
    allowed = event in attempts.TRANSITIONS[state] or event in attempts.NEUTRAL
    assert refused_by(lambda record: attempts.evolve(an_attempt(state), record), event) is not allowed


@pytest.mark.parametrize("event", OF_CALLS, ids=lambda event: event.__name__)
@pytest.mark.parametrize("state", CallState)
def test_a_tool_call_takes_what_its_table_has_and_nothing_else(state: CallState, event: type[e.Event]) -> None:
    spec = e.CallSpec("tcl_1", 1, "shell", 1, {}, Effect.MUTATING)
    call = replace(ToolCall(spec=spec, prompt_id="pmt_1"), state=state)
    allowed = event in calls.TRANSITIONS[state] or event in calls.NEUTRAL
    assert refused_by(lambda record: calls.evolve(call, record), event) is not allowed


def test_every_event_of_an_attempt_has_its_place() -> None:
    """No event that nothing takes, and none that is both a step and evidence."""
    steps = {event for row in attempts.TRANSITIONS.values() for event in row}
    assert steps | attempts.NEUTRAL == set(OF_ATTEMPTS)
    assert not steps & attempts.NEUTRAL
