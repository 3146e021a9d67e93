"""Every frame of the runtime protocol, in both directions (PROTOCOL.md §3 to §8).

Owns the names and types on the wire. A name here is public: a runtime written by someone else depends on it.
Unknown fields are ignored when decoding; what a peer may leave out has a default. Frames are decoded by `codec` only,
which adds the guards that a type cannot express.

`signature` is text without a length: a bad one is answered with `dispatch.signature`, not with a shape fault.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from caisey.protocol import limits
from caisey.protocol.fields import (
    BridgeKind,
    Chunk,
    ClosedWhy,
    Code,
    Count,
    Effect,
    EndedBy,
    GapReason,
    Id,
    InputData,
    Integer,
    IntervalMs,
    Key,
    LeavingReason,
    Mode,
    Name,
    Nonce,
    Ordinal,
    Secret,
    Sha256,
    Signature,
    StatementState,
    StreamName,
    Text,
    TimeMs,
)


class Reference(Struct, frozen=True, gc=False):
    """Which attempt: the tool call and its number."""

    tool_call_id: Id
    number: Ordinal


class Frame(Struct, frozen=True, gc=False, kw_only=True, tag_field="type", omit_defaults=True):
    """What every frame has: its `type`.

    A field that the page calls "or absent" is left out at its default; a class with `omit_defaults=False` says every
    field of its row each time, because a reader there may rely on it.
    """


# ---------------------------------------------------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------------------------------------------------


class ToolReference(Struct, frozen=True, gc=False, kw_only=True):
    """A tool that the runtime has: `digest` is the SHA-256 of its definition. Compared, never read."""

    name: Id
    version: Ordinal
    digest: Name


class DispatchLimits(Struct, frozen=True, gc=False, kw_only=True):
    """`time_ms` null: no limit of its own. `start_within_ms` counts from receipt, on a clock that runs in sleep."""

    time_ms: Ordinal | None = None
    output_bytes: Count = limits.OUTPUT_BYTES
    start_within_ms: Count | None = None


class StreamSummary(Struct, frozen=True, gc=False, kw_only=True):
    """One stream of an execution, over all bytes that were written, kept or not."""

    bytes: Count
    sha256: Sha256
    blank: bool
    truncated: bool


class Execution(Struct, frozen=True, gc=False, kw_only=True):
    """How an execution ended, apart from what it said."""

    exit_code: Integer | None
    signal: Annotated[int, Meta(ge=0, le=1024)] | Annotated[str, Meta(max_length=32)] | None
    ended_by: EndedBy
    tree_ended: bool
    started_ms: TimeMs | None
    ended_ms: TimeMs | None
    streams: dict[StreamName, StreamSummary]


class Change(Struct, frozen=True, gc=False, kw_only=True):
    """One recorded change of state; `before` and `after` are any JSON, most often a word or null."""

    what: Text
    before: Any = None
    after: Any = None


class Owner(Struct, frozen=True, gc=False, kw_only=True):
    """The incarnation that holds an attempt in a journal that several runtimes may share."""

    runtime_id: Id
    incarnation: Id


class Load(Struct, frozen=True, gc=False, kw_only=True):
    """What the runtime itself uses; not signed, so a fraction is allowed."""

    cpu_percent: Annotated[float, Meta(ge=0)] = 0.0
    rss_bytes: Count = 0


class TrustedKey(Struct, frozen=True, gc=False, kw_only=True):
    """A control plane key that a runtime may trust from now on."""

    key_id: Id
    public_key: Key


class Question(Struct, frozen=True, gc=False, kw_only=True):
    """One attempt that a `reconcile` asks about."""

    tool_call_id: Id
    number: Ordinal
    consent: Ordinal


class ShapeFault(Struct, frozen=True, gc=False, kw_only=True):
    """One fault of shape. `found` is a type or a length, never a value."""

    pointer: str
    expected: str
    found: str


# ---------------------------------------------------------------------------------------------------------------------
# Handshake (§3)
# ---------------------------------------------------------------------------------------------------------------------


class Challenge(Frame, frozen=True, kw_only=True, tag="challenge"):
    nonce: Nonce
    server_time_ms: TimeMs
    protocols: Annotated[tuple[Ordinal, ...], Meta(max_length=64)]


class Statement(Frame, frozen=True, kw_only=True, tag="statement"):
    """What the journal says of one attempt (§5); also inside `hello`, where `type` may be left out."""

    attempt: Reference
    state: StatementState
    journal_id: Id
    journal_sequence: Count
    answers: Reference | None = None
    owner: Owner | None = None
    why: ClosedWhy | None = None
    code: Code | None = None
    pid: Count | None = None
    process_key: Name | None = None
    offsets: dict[StreamName, Count] = {}
    execution: Execution | None = None


class Hello(Frame, frozen=True, kw_only=True, tag="hello"):
    protocol: Ordinal
    challenge: Nonce
    nonce: Nonce
    control_plane_key: Key
    runtime_id: Id
    incarnation: Id
    start_number: Count
    boot_id: Id
    journal_id: Id
    journal_sequence: Count
    machine_fingerprint: Id
    runtime_version: Name
    bridge: BridgeKind
    time_ms: TimeMs
    tools: Annotated[tuple[ToolReference, ...], Meta(max_length=limits.TOOLS_PER_RUNTIME)]
    statements: Annotated[tuple[Statement, ...], Meta(max_length=limits.STATEMENTS_PER_HELLO)]
    more: bool
    runs_as: Annotated[str, Meta(max_length=limits.NAME_LENGTH)] | None = None  # the account that commands run under
    signature: Signature = ""


class Confirm(Frame, frozen=True, kw_only=True, tag="confirm"):
    """Bytes below `offsets` are durable (§6). Signed where `settled`, except inside `welcome`."""

    attempt: Reference
    offsets: dict[StreamName, Count]
    settled: bool
    runtime_id: Id | None = None
    incarnation: Id | None = None
    signature: Signature = ""


class Welcome(Frame, frozen=True, kw_only=True, tag="welcome"):
    connection: Secret
    mode: Mode
    heartbeat_interval_ms: IntervalMs
    output_chunk_bytes: Annotated[int, Meta(ge=1, le=limits.FRAME_BYTES)]
    confirm: Annotated[tuple[Confirm, ...], Meta(max_length=limits.REFERENCES)]
    nonce: Nonce
    runtime_id: Id
    incarnation: Id
    signature: Signature = ""


class Reject(Frame, frozen=True, kw_only=True, tag="reject", omit_defaults=False):
    code: Code
    hint: Text = ""


# ---------------------------------------------------------------------------------------------------------------------
# Work, control plane to runtime (§4, §5)
# ---------------------------------------------------------------------------------------------------------------------


class Dispatch(Frame, frozen=True, kw_only=True, tag="dispatch"):
    runtime_id: Id
    incarnation: Id
    journal_id: Id
    attempt: Reference
    consent: Ordinal
    session_id: Id
    tool: Id
    tool_version: Ordinal
    arguments: dict[str, Any]
    effect: Effect
    limits: DispatchLimits
    issued_at_ms: TimeMs
    signature: Signature = ""


class Cancel(Frame, frozen=True, kw_only=True, tag="cancel"):
    """`unless_started` is an addition to version 1: a withdrawal, answered with the statement of what started."""

    runtime_id: Id
    incarnation: Id
    attempt: Reference
    consent: Ordinal
    unless_started: bool = False
    signature: Signature = ""


class Input(Frame, frozen=True, kw_only=True, tag="input", omit_defaults=False):
    runtime_id: Id
    incarnation: Id
    attempt: Reference
    sequence: Ordinal
    data: InputData
    close: bool = False
    sensitive: bool = False
    signature: Signature = ""


class Reconcile(Frame, frozen=True, kw_only=True, tag="reconcile"):
    attempts: Annotated[tuple[Question, ...], Meta(max_length=limits.REFERENCES)]


# ---------------------------------------------------------------------------------------------------------------------
# Work, runtime to control plane (§4)
# ---------------------------------------------------------------------------------------------------------------------


class Acknowledged(Frame, frozen=True, kw_only=True, tag="acknowledged"):
    attempt: Reference
    journal_sequence: Count


class Started(Frame, frozen=True, kw_only=True, tag="started", omit_defaults=False):
    """The command was let go. What only informs a reader (`user`, `cwd`, …) may be absent or null."""

    attempt: Reference
    journal_sequence: Count
    pid: Count
    process_key: Name
    process_started_ms: TimeMs | None = None
    user: Text | None = None
    cwd: Text | None = None
    interpreter: Text | None = None


class Output(Frame, frozen=True, kw_only=True, tag="output"):
    """Goes by offset; the journal sequence, where given, says nothing about its order."""

    attempt: Reference
    stream: StreamName
    offset: Count
    data: Chunk
    journal_sequence: Count | None = None


class Gap(Frame, frozen=True, kw_only=True, tag="gap"):
    attempt: Reference
    stream: StreamName
    offset: Count
    length: Count
    why: GapReason
    journal_sequence: Count | None = None


class Progress(Frame, frozen=True, kw_only=True, tag="progress", omit_defaults=False):
    attempt: Reference
    journal_sequence: Count | None = None
    cpu_ms: Count | None = None
    bytes: dict[StreamName, Count] = {}
    last_output_ms: TimeMs | None = None
    waiting_for_input: bool | None = None


class InputAccepted(Frame, frozen=True, kw_only=True, tag="input_accepted"):
    attempt: Reference
    sequence: Ordinal
    journal_sequence: Count | None = None


class Finished(Frame, frozen=True, kw_only=True, tag="finished", omit_defaults=False):
    """It ended. `result` is `UNSET` where there is none, so that a result of null is still a result."""

    attempt: Reference
    journal_sequence: Count
    execution: Execution
    result: Any | UnsetType = UNSET
    changes: Annotated[tuple[Change, ...], Meta(max_length=limits.CHANGES)] = ()


class Refused(Frame, frozen=True, kw_only=True, tag="refused", omit_defaults=False):
    attempt: Reference
    journal_sequence: Count
    code: Code
    hint: Text = ""


# ---------------------------------------------------------------------------------------------------------------------
# Liveness and faults (§7, §8)
# ---------------------------------------------------------------------------------------------------------------------


class Heartbeat(Frame, frozen=True, kw_only=True, tag="heartbeat", omit_defaults=False):
    """`accepting` is always said: a silent default would read as a promise to take work."""

    sequence: Count
    time_ms: TimeMs
    monotonic_ms: Count
    interval_ms: IntervalMs
    journal_sequence: Count
    accepting: bool
    in_flight: Annotated[tuple[Reference, ...], Meta(max_length=limits.REFERENCES)]
    load: Load = Load()
    slept_ms: Count = 0


class HeartbeatAck(Frame, frozen=True, kw_only=True, tag="heartbeat_ack"):
    sequence: Count
    server_time_ms: TimeMs


class Cadence(Frame, frozen=True, kw_only=True, tag="cadence"):
    heartbeat_interval_ms: IntervalMs


class Leaving(Frame, frozen=True, kw_only=True, tag="leaving"):
    reason: LeavingReason


class Ping(Frame, frozen=True, kw_only=True, tag="ping"):
    id: Id
    nonce: Nonce | None = None


class Pong(Frame, frozen=True, kw_only=True, tag="pong"):
    """Carries the nonce of the `ping` and is signed, where one was sent."""

    id: Id
    nonce: Nonce | None = None
    signature: Signature = ""


class Keys(Frame, frozen=True, kw_only=True, tag="keys"):
    runtime_id: Id
    incarnation: Id
    keys: Annotated[tuple[TrustedKey, ...], Meta(min_length=1, max_length=limits.TRUSTED_KEYS)]
    signature: Signature = ""


class Problem(Frame, frozen=True, kw_only=True, tag="problem", omit_defaults=False):
    """What a side could not take. `about` is null where no attempt is named. Never answered with a `problem`."""

    code: Code
    errors: Annotated[tuple[ShapeFault, ...], Meta(max_length=limits.SHAPE_ERRORS)] = ()
    about: Reference | None = None


FromRuntime = (
    Hello
    | Acknowledged
    | Started
    | Output
    | Gap
    | Progress
    | InputAccepted
    | Finished
    | Refused
    | Statement
    | Heartbeat
    | Leaving
    | Pong
    | Problem
)
FromControlPlane = (
    Challenge
    | Welcome
    | Reject
    | Dispatch
    | Cancel
    | Input
    | Reconcile
    | Confirm
    | HeartbeatAck
    | Cadence
    | Ping
    | Keys
    | Problem
)
AnyFrame = FromRuntime | FromControlPlane

SignedFrame = Hello | Welcome | Dispatch | Cancel | Input | Confirm | Keys | Pong
"""The frames that carry a signature: always, or (`confirm`, `pong`) where the section that defines them says so."""
