"""The composer's pure half: from what was typed to tool calls, and back to a form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caisey.tools.catalogue import TOOLS
from caisey.tools.checking import arguments_shape
from caisey.web.views.composer import Draft, Place, composer_of, draft_of, step_of, warning_of
from caisey.web.visit import Form

DOCUMENTS: list[dict[str, Any]] = [
    {
        "name": tool.name,
        "version": tool.version,
        "arguments_schema": tool.arguments_schema,
        "effect": tool.effect,
        "effect_by_call": tool.effect_by_call,
        "effect_by_argument": tool.effect_by_argument,
        "platforms": list(tool.platforms),
    }
    for tool in TOOLS
]
HERE = Place("ACCT-07", "Client", "as root", "linux", "", others=False, waits=False, blocked="")


def tool(name: str) -> dict[str, Any]:
    return max((one for one in DOCUMENTS if one["name"] == name), key=lambda one: int(one["version"]))


def typed(**fields: str) -> Draft:
    pairs = {name.replace("__", "."): value for name, value in fields.items()}
    return draft_of(Form.of(urlencode(pairs).encode()))


def test_a_command_is_sent_as_it_was_typed() -> None:
    draft = typed(tool="shell", arg__command="  echo 'a  b'\n\n  echo c\n", effect="read_only", limit="1,5")
    assert step_of(draft, tool("shell")) == {
        "tool": "shell",
        "arguments": {"command": "  echo 'a  b'\n\n  echo c"},
        "effect": "read_only",
        "limits": {"time_ms": 1500},
    }


def test_fields_become_values_of_their_types() -> None:
    draft = typed(tool="processes", arg__limit=" 20 ", arg__sort="memory", arg__name="", arg__user=" ")
    assert step_of(draft, tool("processes"))["arguments"] == {"limit": 20, "sort": "memory"}
    draft = typed(tool="shell", arg__command="env", arg__env="A=1\nB=x=y\n\n")
    assert step_of(draft, tool("shell"))["arguments"]["env"] == {"A": "1", "B": "x=y"}


def test_what_does_not_fit_is_sent_as_it_is_and_said_by_the_api() -> None:
    """Nothing is repaired: the fault comes back with its place, and stands beside the field."""
    draft = typed(tool="processes", arg__limit="many", limit="soon")
    step = step_of(draft, tool("processes"))
    assert step["arguments"] == {"limit": "many"}
    assert step["limits"] == {"time_ms": "soon"}
    errors = [{"pointer": "/tool_calls/0/arguments/limit", "expected": "integer", "found": "string"}]
    fault = SimpleNamespace(problem={"errors": errors}, status=422)
    shown = composer_of(HERE, DOCUMENTS, draft, fault=fault)
    [field] = [one for one in shown.fields if one.name == "limit"]
    assert (field.value, field.invalid) == ("many", "integer; string")


@pytest.mark.parametrize(
    ("name", "values", "effect"),
    [
        ("service", {"action": "status"}, "read_only"),
        ("service", {"action": "stop"}, "mutating"),
        ("system_info", {}, "read_only"),
        ("shell", {"command": "x"}, "mutating"),
    ],
)
def test_the_effect_is_said_before_sending(name: str, values: dict[str, str], effect: str) -> None:
    shown = composer_of(HERE, DOCUMENTS, Draft(tool=name, values=values))
    assert shown.effect == effect
    assert shown.chooses == (name == "shell")
    assert ("May change things" in shown.effect_words) == (effect == "mutating" and name != "shell")


def test_the_right_shell_comes_first() -> None:
    assert composer_of(HERE, DOCUMENTS, Draft()).tool == "shell"
    windows = composer_of(HERE._replace(os="windows"), DOCUMENTS, Draft(tool="osascript"))
    assert windows.tool == "powershell"
    offered = [name for _, names in windows.groups for name, _ in names]
    assert "osascript" not in offered
    assert "service" in offered


def test_whom_it_runs_as_is_chosen_where_there_is_a_choice() -> None:
    """An agent of root that says it can. Elsewhere its own account is said, and nothing is to be chosen."""
    only = composer_of(HERE, DOCUMENTS, Draft())
    assert (only.accounts, only.account) == ((), "as root")
    there = HERE._replace(others=True, signed_in="anna")
    shown = composer_of(there, DOCUMENTS, typed(tool="shell", arg__command="id", arg__run_as="user"))
    assert shown.accounts == (("", "as root"), ("user", "as whoever is signed in (anna when last asked)"))
    assert shown.run_as == "user"
    assert "run_as" not in [field.name for field in shown.more]
    assert composer_of(there, DOCUMENTS, Draft(tool="service")).accounts == ()
    windows = composer_of(there._replace(os="windows"), DOCUMENTS, Draft(tool="shell"))
    assert windows.accounts == ()


def test_an_account_that_was_chosen_is_never_lost() -> None:
    draft = typed(tool="shell", arg__command="id", arg__run_as="system")
    assert step_of(draft, tool("shell"))["arguments"] == {"command": "id", "run_as": "system"}
    assert [value for value, _ in composer_of(HERE, DOCUMENTS, draft).accounts] == ["", "system", "user"]
    other = typed(tool="service", arg__name="cups", arg__action="status", arg__run_as="user")
    assert "run_as" not in step_of(other, tool("service"))["arguments"]


def test_steps_are_kept_in_the_form_and_come_back() -> None:
    first = step_of(typed(tool="service", arg__name="cups", arg__action="stop"), tool("service"))
    shown = composer_of(HERE, DOCUMENTS, Draft(steps=(first,)))
    assert [step.literal for step in shown.steps] == ["service stop cups"]
    assert typed(steps=shown.steps_json, tool="shell").steps == (first,)


@pytest.mark.parametrize("steps", ["", "null", "{}", "[1]", "[[]]", "[" * 100_000, '[{"a":1}]' * 2, "\ud7ff"])
def test_steps_that_nobody_wrote_are_left_out(steps: str) -> None:
    assert typed(steps=steps).steps == ()


def test_a_warning_is_said_once() -> None:
    draft = typed(tool="shell", arg__command="nano /etc/hosts")
    assert warning_of(draft, "linux") == "nano"
    assert warning_of(typed(tool="shell", arg__command="nano /etc/hosts", warned="nano"), "linux") == ""
    assert warning_of(typed(arg__command="pause"), "windows") == "pause"


@given(
    st.sampled_from([t["name"] for t in DOCUMENTS]),
    st.dictionaries(st.text(max_size=12), st.text(max_size=40), max_size=6),
    st.text(max_size=20),
)
def test_whatever_is_typed_makes_one_call_and_one_form(name: str, values: dict[str, str], limit: str) -> None:
    draft = Draft(tool=name, values=values, limit=limit)
    step = step_of(draft, tool(name))
    msgspec.json.encode(step)
    arguments_shape(next(t for t in TOOLS if t.name == name), step["arguments"])
    anywhere = HERE._replace(os="")
    shown = composer_of(anywhere, DOCUMENTS, Draft(tool=name, values=values, limit=limit, steps=(step,)))
    assert shown.tool == name
    assert len(shown.steps) == 1
