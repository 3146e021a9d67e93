"""Exit codes of the command line (API.md): what a script may rely on.

Owns the numbers, and how a prompt as the API shows it becomes one of them. A number here is public.
"""

from __future__ import annotations

from typing import Any, Final

OK: Final = 0
FAULT: Final = 1
USAGE: Final = 2
EMPTY: Final = 10
MALFORMED_CALL: Final = 11
MALFORMED_RESULT: Final = 12
ORPHANED: Final = 13
RUNTIME_DIED: Final = 14
COMMAND_FAILED: Final = 15
TIMED_OUT: Final = 16
REFUSED: Final = 17
DENIED: Final = 18
EXPIRED: Final = 19
CANCELLED: Final = 20
WAITS_FOR_A_PERSON: Final = 30
UNREACHABLE: Final = 31
NOT_ALLOWED: Final = 32
DETACHED: Final = 130

MEANINGS: Final[dict[int, str]] = {
    OK: "answered, or a step that may change things succeeded without output",
    FAULT: "a fault; its code and what to do are on stderr",
    USAGE: "the command line does not fit",
    EMPTY: "it ran, exit code 0, and printed nothing (of something that only reads; with --strict, of anything)",
    MALFORMED_CALL: "the input does not fit the tool; nothing was sent",
    MALFORMED_RESULT: "it answered, but the answer cannot be read",
    ORPHANED: "it was sent, and the computer did not confirm it",
    RUNTIME_DIED: "contact with the agent was lost, or it stopped, before the end was reported",
    COMMAND_FAILED: "it ran and reported an error",
    TIMED_OUT: "it passed its own time limit and was stopped",
    REFUSED: "the agent refused it; it did not run",
    DENIED: "it was not allowed",
    EXPIRED: "it waited too long and was not sent",
    CANCELLED: "it was stopped by someone",
    WAITS_FOR_A_PERSON: "it waits for a person's decision, without a verdict",
    UNREACHABLE: "the control plane does not answer",
    NOT_ALLOWED: "not signed in, or your role does not allow it",
    DETACHED: "left by Ctrl-C; the work goes on",
}

_BY_KIND: Final[dict[str, int]] = {
    "answered": OK,
    "empty": EMPTY,
    "malformed_call": MALFORMED_CALL,
    "malformed_result": MALFORMED_RESULT,
    "orphaned": ORPHANED,
    "runtime_died": RUNTIME_DIED,
    "command_failed": COMMAND_FAILED,
    "timed_out": TIMED_OUT,
    "refused": REFUSED,
    "denied": DENIED,
    "expired": EXPIRED,
    "cancelled": CANCELLED,
}

_PASSED: Final = frozenset({"accepted_partial", "resumed_past", "replaced"})
_NOT_A_TRY: Final = frozenset({"attempt.superseded", "attempt.withdrawn"})


def of_kind(kind: str, effect: str, *, strict: bool = False) -> int:
    """The code of one verdict. `effect`: what the call may do, since printing nothing is how a change succeeds."""
    if kind == "empty" and effect != "read_only" and not strict:
        return OK
    return _BY_KIND.get(kind, FAULT)


def of_prompt(prompt: dict[str, Any], *, strict: bool = False) -> int:
    """The code of the first tool call that is not done; OK where every one is."""
    for call in prompt["tool_calls"]:
        code = of_call(call, strict=strict)
        if code != OK:
            return code
    return OK


def of_call(call: dict[str, Any], *, strict: bool = False) -> int:
    """The code of one tool call: its verdict's, or WAITS_FOR_A_PERSON where it stands without one."""
    if call.get("outcome") in _PASSED:
        return OK
    verdict = deciding_verdict(call)
    if verdict is None:
        return WAITS_FOR_A_PERSON
    return of_kind(verdict["kind"], call["effect"], strict=strict)


def deciding_verdict(call: dict[str, Any]) -> dict[str, Any] | None:
    """The verdict that speaks for a call: that of a try that is done, else of the newest one that was really tried.

    None while a newer try is open, or where there was none: then nothing is concluded about the call yet.
    """
    attempts = call.get("attempts") or []
    if not attempts:
        own: dict[str, Any] | None = call.get("verdict")
        return own
    ended: list[dict[str, Any]] = [attempt["verdict"] for attempt in attempts if attempt.get("verdict")]
    done = [verdict for verdict in ended if verdict["kind"] in ("answered", "empty")]
    if done:
        return done[-1]
    if not attempts[-1].get("verdict"):
        return None
    real = [verdict for verdict in ended if verdict.get("code") not in _NOT_A_TRY]
    return (real or ended)[-1]
