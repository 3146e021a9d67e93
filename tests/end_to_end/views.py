"""Reading a prompt as `GET /prompts/{id}` shows it, and what must be true of every such view."""

from __future__ import annotations

from typing import Any

Prompt = dict[str, Any]
Attempt = dict[str, Any]

ATTEMPT_STATES = frozenset(
    {"queued", "held", "awaiting_approval", "dispatched", "acknowledged", "started", "lost", "ended"}
)
CALL_STATES = frozenset({"pending", "running", "waiting", "ended"})
PROMPT_STATES = frozenset({"running", "waiting", "ended"})
KINDS = frozenset(
    {
        "answered", "empty", "malformed_call", "malformed_result", "orphaned", "runtime_died", "command_failed",
        "timed_out", "refused", "denied", "expired", "cancelled",
    }
)  # fmt: skip
RANS = ("no", "unconfirmed", "partly", "yes")
"""From the least to the best proof that it ran."""


def call(prompt: Prompt, step: int = 1) -> dict[str, Any]:
    """Step N of a prompt, from 1, in their order."""
    return dict(prompt["tool_calls"][step - 1])


def attempts(prompt: Prompt, step: int = 1) -> list[Attempt]:
    return sorted(call(prompt, step)["attempts"], key=lambda attempt: attempt["number"])


def last(prompt: Prompt, step: int = 1) -> Attempt:
    found = attempts(prompt, step)
    return found[-1] if found else {"state": None, "verdict": None, "number": 0, "evidence": []}


def verdict(prompt: Prompt, step: int = 1, number: int | None = None) -> tuple[str, str] | None:
    """(kind, ran) of an attempt, by default the newest; None while it has none."""
    found = (
        last(prompt, step) if number is None else next((a for a in attempts(prompt, step) if a["number"] == number), {})
    )
    given = found.get("verdict")
    return (given["kind"], given["ran"]) if given else None


def evidence_types(attempt: Attempt) -> list[str]:
    return [fact["type"] for fact in attempt["evidence"]]


def offered(prompt: Prompt, step: int = 1) -> set[str]:
    """Actions that the newest verdict offers and that are not disabled."""
    given = last(prompt, step).get("verdict") or {"next_actions": []}
    return {a["action"] for a in given["next_actions"] if not a.get("unavailable_because")}


def check(prompt: Prompt) -> Prompt:
    """RECOVERY.md §9 (1, 5) and API.md's vocabulary, of every view that a test ever reads."""
    assert prompt["state"] in PROMPT_STATES, prompt["state"]
    assert isinstance(prompt["sequence"], int)
    for tool_call in prompt["tool_calls"]:
        assert tool_call["state"] in CALL_STATES, tool_call["state"]
        assert [a["number"] for a in tool_call["attempts"]] == sorted(a["number"] for a in tool_call["attempts"])
        for attempt in tool_call["attempts"]:
            _check_attempt(attempt)
        _check_ran(tool_call)
    return prompt


def _check_attempt(attempt: Attempt) -> None:
    state = attempt["state"]
    assert state in ATTEMPT_STATES, state
    if state != "ended":
        missing = [name for name in ("owner", "due_at", "next_state") if not attempt.get(name)]
        assert not missing, f"{state} without {missing}: RECOVERY.md §9, invariant 1"
    for fact in attempt["evidence"]:
        assert fact.get("at"), fact
        assert fact.get("source"), fact
        assert fact.get("type"), fact
    given = attempt.get("verdict")
    if given is None:
        assert state != "ended", "ended without a verdict"
        return
    assert given["kind"] in KINDS, given["kind"]
    assert given["ran"] in RANS, given["ran"]
    assert attempt["evidence"], "a verdict without evidence"
    check_words(given)


def check_words(given: dict[str, Any]) -> None:
    """CONSOLE.md: label at most 46 characters, sentence 125, consequence 90; no unfilled brace, no `None`."""
    texts = [(given["label"], 46), (given["summary"], 125)]
    texts += [(action["label"], 46) for action in given["next_actions"]]
    texts += [(action["consequence"], 90) for action in given["next_actions"]]
    for text, most in texts:
        assert len(text) <= most, text
        assert "{" not in text, text
        assert "None" not in text, text


def _check_ran(tool_call: dict[str, Any]) -> None:
    """RECOVERY.md §2: `yes` if any attempt says yes, else `partly`, else `unconfirmed`, else `no`."""
    given = [a["verdict"] for a in tool_call["attempts"]]
    if given and all(given):
        best = max((v["ran"] for v in given), key=RANS.index)
        assert tool_call["ran"] == best, (
            tool_call["id"],
            tool_call["ran"],
            [(v["kind"], v["ran"], v["code"]) for v in given],
        )
