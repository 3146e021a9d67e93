"""Which computer, request or step is meant: names and ids typed by a person, to what the API knows.

Owns the rule that work is sent only to a computer that was named exactly. A part of a name finds candidates to choose
from, and never a computer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from caisey.cli.client import Api
from caisey.cli.faults import CliFault, Problem, UsageFault

CANDIDATES = 50


class Subject(NamedTuple):
    """A prompt, and the one step of it that was named, if one was."""

    prompt: dict[str, Any]
    call: dict[str, Any] | None


def endpoint(api: Api, name: str) -> dict[str, Any]:
    """The computer with this id or exactly this name, in any case of letters; else a fault with the candidates."""
    if name.startswith("ept_"):
        found: dict[str, Any] = api.get(f"/endpoints/{name}")
        return found
    near = list(api.items("/endpoints", q=name, most=CANDIDATES))
    exact = [item for item in near if str(item.get("name", "")).casefold() == name.casefold()]
    if len(exact) == 1:
        return exact[0]
    if exact:
        raise UsageFault(f"{len(exact)} computers are called {name}", hint="Name one by its id: " + _listed(exact))
    if near:
        raise CliFault(f"No computer is called {name}", hint="Perhaps: " + _listed(near[:5]), code="resource.not_found")
    raise CliFault(f"No computer is called {name}", hint="`caisey endpoints` lists them.", code="resource.not_found")


def subject(api: Api, reference: str, *, step: int | None = None, prompt_id: str | None = None) -> Subject:
    """What a `pmt_…` or `tcl_…` names. `step` is a position from 1; `prompt_id` spares looking a step's request up."""
    if reference.startswith("pmt_"):
        prompt = api.get(f"/prompts/{reference}")
        return Subject(prompt, None if step is None else _at(prompt, step))
    if not reference.startswith("tcl_"):
        raise UsageFault(f"{reference} is no request (pmt_…) and no step (tcl_…)")
    prompt = api.get(f"/prompts/{prompt_id or _prompt_of(api, reference)}")
    for call in prompt["tool_calls"]:
        if call["id"] == reference:
            return Subject(prompt, call)
    raise CliFault(f"{reference} is not a step of {prompt['id']}", code="resource.not_found")


def _at(prompt: dict[str, Any], step: int) -> dict[str, Any]:
    for call in prompt["tool_calls"]:
        if call["position"] == step and call.get("outcome") != "replaced":
            found: dict[str, Any] = call
            return found
    raise UsageFault(f"The request has no step {step}; it has {len(prompt['tool_calls'])}")


def _prompt_of(api: Api, tool_call_id: str) -> str:
    """The prompt of a step that waits for a person; other steps are named by their prompt."""
    try:
        for item in api.items("/attention", most=1000):
            if item.get("tool_call_id") == tool_call_id and item.get("prompt_id"):
                return str(item["prompt_id"])
    except Problem as problem:
        if problem.status != 404:
            raise
    raise UsageFault(
        f"The request of {tool_call_id} is not known",
        hint="Name the request, and the step where it matters: pmt_… --step 2.",
    )


def _listed(endpoints: list[dict[str, Any]]) -> str:
    return ", ".join(f"{item.get('name')} ({item['id']})" for item in endpoints)
