"""What may be asked of a session, in the imperative. `decide` answers with events.

Owns the command types. The shell fills in ids, validated arguments and the actor; nothing here is trusted further.
"""

from __future__ import annotations

from typing import Any

import msgspec

from caisey.core.events import Actor, CallSpec, Limits, Origin, Shape


class Command(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Every command derives from this."""


class CreateSession(Command, frozen=True, kw_only=True):
    """The first command of a session."""

    actor: Actor
    session_id: str
    client_group_id: str | None
    title: str
    ticket: str | None


class UpdateSession(Command, frozen=True, kw_only=True):
    """None means unchanged."""

    actor: Actor
    title: str | None = None
    ticket: str | None = None
    owner: str | None = None
    reason: str | None = None


class CloseSession(Command, frozen=True, kw_only=True):
    """`drop` and `keep` name the open tool calls, each to be given up or left going."""

    actor: Actor
    outcome: str
    verified: str | None = None
    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


class OfferHandover(Command, frozen=True, kw_only=True):
    """To somebody, or to whoever takes it first (None). A second offer takes the place of the first."""

    actor: Actor
    to: str | None
    note: str
    summary: str


class EndHandover(Command, frozen=True, kw_only=True):
    """outcome: accepted or declined by the one it was offered to, withdrawn by the owner."""

    actor: Actor
    outcome: str


class AcceptPrompt(Command, frozen=True, kw_only=True):
    """Arguments were validated by the shell against the tools' definitions."""

    actor: Actor
    prompt_id: str
    calls: tuple[CallSpec, ...]
    text: str | None = None
    side_by_side: bool = False
    origin: Origin | None = None


class Act(Command, frozen=True, kw_only=True):
    """A recovery action by a person (RECOVERY.md §7). `new_call` (adjust) and `prompt_id`+`check` (verify) come with
    ids and validated arguments. `data` (input) is text; sensitive text is never put into an event."""

    actor: Actor
    tool_call_id: str
    action: str
    reason: str | None = None
    seen: int | None = None
    limits: Limits | None = None
    data: str = ""
    close: bool = False
    sensitive: bool = False
    runtime_id: str | None = None
    bridge: str | None = None
    to: str | None = None
    expires_in_ms: int | None = None
    new_call: CallSpec | None = None
    prompt_id: str | None = None


class RuntimeCommand(Command, frozen=True, kw_only=True):
    """About one attempt, from one live incarnation of a runtime of the session's endpoint."""

    runtime_id: str
    incarnation: str
    journal_id: str
    tool_call_id: str
    number: int


class ReceiveReceipt(RuntimeCommand, frozen=True, kw_only=True):
    """acknowledged, started or refused. `details`: the frame's other fields of AttemptStarted / refused."""

    receipt: str
    journal_sequence: int
    details: dict[str, Any] = {}


class ReceiveFinished(RuntimeCommand, frozen=True, kw_only=True):
    """`readable` False: the frame's content does not fit; what could be read is here. Faults of the result too."""

    journal_sequence: int
    execution: dict[str, Any] | None
    result: Any = None
    has_result: bool = False
    changes: tuple[dict[str, Any], ...] = ()
    faults: tuple[Shape, ...] = ()
    readable: bool = True


class ReceiveStatement(RuntimeCommand, frozen=True, kw_only=True):
    """A `statement` frame (PROTOCOL.md §5)."""

    state: str
    journal_sequence: int
    answers: int | None = None
    owner: tuple[str, str] | None = None  # runtime_id, incarnation
    owner_live: bool = True
    why: str | None = None
    code: str | None = None
    pid: int | None = None
    process_key: str | None = None
    execution: dict[str, Any] | None = None


class ReceiveOutput(RuntimeCommand, frozen=True, kw_only=True):
    """`length` new bytes at `offset` (what is stored was cut away); `conflict`: they differ from stored ones."""

    stream: str
    offset: int
    length: int
    conflict: bool = False


class ReceiveGap(RuntimeCommand, frozen=True, kw_only=True):
    """Bytes that will not come."""

    stream: str
    offset: int
    length: int
    why: str


class ReceiveProgress(RuntimeCommand, frozen=True, kw_only=True):
    """At most one a second; the session records what matters of it."""

    cpu_ms: int
    bytes: dict[str, int]
    last_output_ms: int | None = None
    waiting_for_input: bool | None = None
    last_line: str | None = None


class ReceiveInputAccepted(RuntimeCommand, frozen=True, kw_only=True):
    """An input was written."""

    sequence: int


class ReceiveShapeFault(RuntimeCommand, frozen=True, kw_only=True):
    """An unreadable frame (other than `finished`) that names this attempt."""

    code: str
    faults: tuple[Shape, ...]


class RuntimeConnected(Command, frozen=True, kw_only=True):
    """A runtime of the endpoint has a live bridge again (after its welcome, before its statements).
    `regressed`: its journal went back in time."""

    runtime_id: str
    incarnation: str
    boot_id: str
    journal_id: str
    regressed: bool = False


class StatementsRead(Command, frozen=True, kw_only=True):
    """All pages of its statements were read: what they did not name is asked for."""

    runtime_id: str
    journal_id: str


class BridgeClosed(Command, frozen=True, kw_only=True):
    """The last bridge of that incarnation closed."""

    runtime_id: str
    incarnation: str
    code: int
    reason: str


class RuntimeLeaving(Command, frozen=True, kw_only=True):
    """`leaving`: sleep, shutdown, update or drain."""

    runtime_id: str
    incarnation: str
    reason: str


class RuntimeSlept(Command, frozen=True, kw_only=True):
    """A heartbeat said that the computer slept."""

    runtime_id: str
    slept_ms: int


class Advance(Command, frozen=True, kw_only=True):
    """The endpoint's view changed (connected, proved, health, a runtime ended an attempt): move what can move."""

    freed_runtime_id: str | None = None


class Tick(Command, frozen=True, kw_only=True):
    """A deadline passed, or may have."""


class StepClock(Command, frozen=True, kw_only=True):
    """See ClockStepped."""

    by_ms: int
