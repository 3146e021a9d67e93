"""What may go wrong for a person at the command line, each with its exit code and what to do.

Owns the exceptions that end a command with words instead of a traceback. A defect of Caisey is none of them.
"""

from __future__ import annotations

import re
from typing import Any

from caisey.cli import exit_codes

_LATER = frozenset({429, 503})
_SEE_ERRORS = re.compile(r"See `errors`[^.]*\.\s*")


class CliFault(Exception):
    """A command ends. `lines` is what the person reads (each made visible where it is shown); `document` is what
    `--json` prints."""

    exit_code = exit_codes.FAULT
    code = "cli.fault"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.code

    def lines(self) -> list[str]:
        """The fault in words: what it is, then what to do."""
        return [*self.message.splitlines(), *indented(self.hint)]

    def document(self) -> dict[str, Any]:
        """The fault as one JSON document, shaped like the API's problem details."""
        return {"code": self.code, "title": self.message, "hint": self.hint, "exit_code": self.exit_code}


class UsageFault(CliFault):
    """The command line does not fit."""

    exit_code = exit_codes.USAGE
    code = "cli.usage"


class Unreachable(CliFault):
    """The control plane does not answer."""

    exit_code = exit_codes.UNREACHABLE
    code = "cli.unreachable"

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"Caisey at {url} does not answer: {why}",
            hint="Check the address and that `caisey serve` runs there; `caisey doctor` looks at both.",
        )


class NotAllowed(CliFault):
    """Not signed in, found out before anything was asked."""

    exit_code = exit_codes.NOT_ALLOWED
    code = "auth.required"


class Problem(CliFault):
    """The control plane refused, with problem details (RFC 9457)."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        self.status = status
        self.body = body
        title = str(body.get("title") or f"The control plane answered {status}")
        detail = body.get("detail")
        super().__init__(title, hint=_text(body.get("hint")), code=_text(body.get("code")) or "cli.fault")
        self.detail = str(detail) if detail and detail != title else None
        self.exit_code = _exit_code(status, self.code)

    def lines(self) -> list[str]:
        """Title, detail, each fault of shape on its own line, what to do, the code for searching."""
        faults = [fault_line(fault) for fault in self.body.get("errors") or () if isinstance(fault, dict)]
        faults = [line.replace("GET /tools", "`caisey tools list`") for line in faults]
        why, offered = self.body.get("why"), self.body.get("offered")
        possible = f"Possible now: {', '.join(map(str, offered)) or 'nothing'}" if isinstance(offered, list) else None
        hint = None if possible else self.hint
        if hint and faults:
            hint = _SEE_ERRORS.sub("", hint)  # they stand above it
        return [self.message, *indented(self.detail, *faults, _text(why), possible, hint, f"({self.code})")]

    def document(self) -> dict[str, Any]:
        """The problem as it came, with the exit code."""
        return {**self.body, "status": self.status, "exit_code": self.exit_code}


def is_passing(fault: CliFault) -> bool:
    """Whether the same request may well be answered in a moment: away, at its limit, starting or ending."""
    return isinstance(fault, Unreachable) or (isinstance(fault, Problem) and fault.status in _LATER)


def indented(*texts: str | None) -> list[str]:
    """The lines of these texts below a first line."""
    return [f"  {line}" for text in texts if text for line in text.splitlines()]


def fault_line(fault: dict[str, Any]) -> str:
    """One fault of shape: where, what should be there, what is."""
    pointer = fault.get("pointer") or "(the whole)"
    return f"{pointer}: expected {fault.get('expected')}, found {fault.get('found')}"


def _exit_code(status: int, code: str) -> int:
    if code == "prompt.malformed_call":
        return exit_codes.MALFORMED_CALL
    if status in (401, 403):
        return exit_codes.NOT_ALLOWED
    return exit_codes.FAULT


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
