"""What happened in a session, in the past tense: the only thing that changes its state.

Owns the event types and their wire names. An event is a fact or a decision; it is never edited. `Recorded` is one event
with who did it, why and when; its payload is what the log, the SSE stream and the audit line show (API.md, Event).
"""

from __future__ import annotations

from typing import Any

import msgspec

from caisey.core.states import CancelWhy, Effect, HoldReason, Kind, Notice, Ran


class Actor(msgspec.Struct, frozen=True, gc=False):
    """Who did something: kind is user, token, policy, runtime, model or control_plane."""

    kind: str
    id: str


CONTROL_PLANE = Actor("control_plane", "control_plane")
POLICY = Actor("policy", "policy")


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What one call may use. None means the default."""

    time_ms: int | None = None
    output_bytes: int | None = None


class CallSpec(msgspec.Struct, frozen=True, gc=False):
    """One step of a prompt, as it was asked for."""

    id: str
    position: int
    tool: str
    tool_version: int
    arguments: dict[str, Any]
    effect: Effect
    limits: Limits = Limits()
    structured: bool = False  # the tool's definition has a result schema
    check: dict[str, Any] | None = None  # {tool, arguments}: the read-only check that `verify` uses


class Origin(msgspec.Struct, frozen=True, gc=False):
    """Why a prompt exists other than that somebody typed it: `verify` of a tool call."""

    action: str
    tool_call_id: str


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Our conclusion about one attempt; `cites` are indices into the attempt's evidence."""

    kind: Kind
    ran: Ran
    code: str | None = None  # a stable dotted code where a kind has several causes
    cites: tuple[int, ...] = ()


class Shape(msgspec.Struct, frozen=True, gc=False):
    """One fault of form. `found` is a type or a length, never a value."""

    pointer: str
    expected: str
    found: str


class Event(msgspec.Struct, frozen=True, gc=False, tag_field="type", omit_defaults=False):
    """Every event of a session derives from this."""


class AttemptEvent(Event, frozen=True, kw_only=True):
    """An event about one attempt."""

    tool_call_id: str
    number: int


# -- session and prompt ------------------------------------------------------------------------------------------


class SessionCreated(Event, frozen=True, kw_only=True, tag="session.created"):
    """A conversation on one endpoint began."""

    session_id: str
    endpoint_id: str
    client_group_id: str | None
    title: str
    ticket: str | None
    owner: str


class SessionUpdated(Event, frozen=True, kw_only=True, tag="session.updated"):
    """Title, ticket or owner was changed; None means unchanged."""

    title: str | None = None
    ticket: str | None = None
    owner: str | None = None


class SessionClosed(Event, frozen=True, kw_only=True, tag="session.closed"):
    """The technician ended it, with the outcome and how it was checked."""

    outcome: str
    verified: str | None = None


class HandoverOffered(Event, frozen=True, kw_only=True, tag="session.handover_offered"):
    """The owner wants somebody else to go on: `to`, or whoever takes it first. It stays the owner's until then."""

    to: str | None
    note: str
    summary: str  # what was done and what is open, as it stood


class HandoverEnded(Event, frozen=True, kw_only=True, tag="session.handover_ended"):
    """accepted (the new owner follows as `session.updated`), declined, or withdrawn."""

    outcome: str


class PromptAccepted(Event, frozen=True, kw_only=True, tag="prompt.accepted"):
    """A request is durable. Its calls are pending; the prompt itself is consent 1 of each."""

    prompt_id: str
    calls: tuple[CallSpec, ...]
    text: str | None = None
    side_by_side: bool = False
    origin: Origin | None = None


class PromptWaiting(Event, frozen=True, kw_only=True, tag="prompt.waiting"):
    """Nothing more goes out until a person decides."""

    prompt_id: str


class PromptResumed(Event, frozen=True, kw_only=True, tag="prompt.resumed"):
    """Work goes on after it waited or had ended."""

    prompt_id: str


class PromptEnded(Event, frozen=True, kw_only=True, tag="prompt.ended"):
    """Every call has ended."""

    prompt_id: str


# -- tool call ---------------------------------------------------------------------------------------------------


class CallEvent(Event, frozen=True, kw_only=True):
    """An event about one tool call."""

    tool_call_id: str


class ToolCallReplaced(CallEvent, frozen=True, kw_only=True, tag="tool_call.replaced"):
    """Edited and sent: `call` takes the place of `tool_call_id`, which ends."""

    call: CallSpec


class ToolCallWaiting(CallEvent, frozen=True, kw_only=True, tag="tool_call.waiting"):
    """A person has to decide. `due_at_ms` is the next reminder."""

    why: str  # verdict, automatic_used_up, review_needed
    owner: str
    due_at_ms: int


class ToolCallReminded(CallEvent, frozen=True, kw_only=True, tag="tool_call.reminded"):
    """The reminder passed without an action."""

    due_at_ms: int


class ToolCallEscalated(CallEvent, frozen=True, kw_only=True, tag="tool_call.escalated"):
    """Somebody else was asked."""

    to: str


class ToolCallEnded(CallEvent, frozen=True, kw_only=True, tag="tool_call.ended"):
    """Nothing more will be sent for it. `outcome`: done, accepted_partial, dropped, replaced, resumed_past, kept."""

    outcome: str


# -- attempt: on its way -----------------------------------------------------------------------------------------


class AttemptQueued(AttemptEvent, frozen=True, kw_only=True, tag="attempt.queued"):
    """One more try. `consent_by`: prompt, person, policy, or carried (the present consent)."""

    consent: int
    consent_by: str
    why: str  # prompt, next_step, retry, requeue, reroute, resume, hold, busy
    due_at_ms: int
    counted: bool = False  # an automatic action that counts towards max_automatic
    check: bool = False  # needs a fresh enrollment check before it is dispatched
    runtime_id: str | None = None  # only to this runtime
    bridge: str | None = None
    limits: Limits | None = None


class AttemptHeld(AttemptEvent, frozen=True, kw_only=True, tag="attempt.held"):
    """Kept back, with the reason and the end."""

    reason: HoldReason
    until_ms: int
    retry_at_ms: int | None = None
    since_ms: int | None = None  # since when the computer is as the reason says
    detail: str | None = None


class AttemptReleased(AttemptEvent, frozen=True, kw_only=True, tag="attempt.released"):
    """Queued again: the reason is gone, or a person said so (`confirmed`: the consent counts as given now)."""

    due_at_ms: int
    confirmed: bool = False


class AttemptCheckAsked(AttemptEvent, frozen=True, kw_only=True, tag="attempt.check_asked"):
    """The runtime is asked to prove that it answers (and, with `nonce`, that it still holds its key)."""

    runtime_id: str
    nonce: bool
    due_at_ms: int


class ApprovalAsked(AttemptEvent, frozen=True, kw_only=True, tag="attempt.approval_asked"):
    """An approver has to allow it first."""

    due_at_ms: int


class ApprovalGiven(AttemptEvent, frozen=True, kw_only=True, tag="attempt.approval_given"):
    """It was allowed; queued again."""

    due_at_ms: int


class AttemptDispatched(AttemptEvent, frozen=True, kw_only=True, tag="attempt.dispatched"):
    """Committed before the frame leaves. `again`: the same number once more, as its owner is gone."""

    consent: int
    runtime_id: str
    incarnation: str
    boot_id: str
    journal_id: str
    bridge: str
    mark: int  # highest journal_sequence seen of that journal before
    start_within_ms: int | None
    ask_at_ms: int
    due_at_ms: int
    again: bool = False


class ReconcileAsked(AttemptEvent, frozen=True, kw_only=True, tag="attempt.reconcile_asked"):
    """Connected runtimes with the attempt's journal are asked what they know."""

    runtime_ids: tuple[str, ...]
    due_at_ms: int
    handed_at_ms: int | None = None


class CancelRequested(AttemptEvent, frozen=True, kw_only=True, tag="attempt.cancel_requested"):
    """A wish until the runtime answers."""

    why: CancelWhy


# -- attempt: what the runtime and its journal said --------------------------------------------------------------


class AttemptAcknowledged(AttemptEvent, frozen=True, kw_only=True, tag="attempt.acknowledged"):
    """It is in the journal; says nothing about a start."""

    runtime_id: str
    journal_sequence: int
    due_at_ms: int
    stated: bool = False  # by a statement rather than by the receipt


class AttemptStarted(AttemptEvent, frozen=True, kw_only=True, tag="attempt.started"):
    """The command was let go."""

    runtime_id: str
    journal_sequence: int
    due_at_ms: int
    pid: int | None = None
    process_key: str | None = None
    process_started_ms: int | None = None
    user: str | None = None
    cwd: str | None = None
    interpreter: str | None = None
    stated: bool = False


class AttemptProgressed(AttemptEvent, frozen=True, kw_only=True, tag="attempt.progressed"):
    """The process tree is alive."""

    cpu_ms: int
    bytes: dict[str, int]
    last_output_ms: int | None
    waiting_for_input: bool | None


class AttemptNoticed(AttemptEvent, frozen=True, kw_only=True, tag="attempt.noticed"):
    """A started command shows no progress; `notice` None takes a former one back."""

    notice: Notice | None
    last_line: str | None = None


class OutputReceived(AttemptEvent, frozen=True, kw_only=True, tag="attempt.output"):
    """Bytes [offset, offset+length) of a stream are stored."""

    stream: str
    offset: int
    length: int


class OutputConflicted(AttemptEvent, frozen=True, kw_only=True, tag="attempt.output_conflict"):
    """Bytes came again and differ; the first stay, these are kept apart."""

    stream: str
    offset: int
    length: int


class OutputGap(AttemptEvent, frozen=True, kw_only=True, tag="attempt.gap"):
    """These bytes will not come."""

    stream: str
    offset: int
    length: int
    why: str


class InputGiven(AttemptEvent, frozen=True, kw_only=True, tag="attempt.input_given"):
    """Somebody answered the command. Sensitive text is not kept, only its length."""

    sequence: int
    length: int
    data: str | None
    close: bool
    sensitive: bool


class InputAccepted(AttemptEvent, frozen=True, kw_only=True, tag="attempt.input_accepted"):
    """That input was written, once."""

    sequence: int


class AttemptFinished(AttemptEvent, frozen=True, kw_only=True, tag="attempt.finished"):
    """It ended. `execution` stands apart from the payload; None where it could not be read."""

    journal_sequence: int
    execution: dict[str, Any] | None
    result: Any = None
    has_result: bool = False
    changes: tuple[dict[str, Any], ...] = ()
    faults: tuple[Shape, ...] = ()
    readable: bool = True
    stated: bool = False


class AttemptRefused(AttemptEvent, frozen=True, kw_only=True, tag="attempt.refused"):
    """The runtime promised not to run it."""

    journal_sequence: int
    code: str
    hint: str = ""
    trusted: bool = True
    stated: bool = False


class JournalStated(AttemptEvent, frozen=True, kw_only=True, tag="attempt.stated"):
    """The journal spoke: a promise (never_received, closed), superseded, or process_gone."""

    state: str
    journal_id: str
    journal_sequence: int
    why: str | None = None
    code: str | None = None
    trusted: bool = True  # false: the journal went back in time, its word proves no `no`
    ran_as: int | None = None  # the number that ran instead (superseded)


class EvidenceNoted(AttemptEvent, frozen=True, kw_only=True, tag="attempt.noted"):
    """A fact that by itself moves nothing: late or repeated receipts, heartbeats missed, bridge closed, restarts…"""

    fact: str
    detail: dict[str, Any] = {}


# -- attempt: conclusions ----------------------------------------------------------------------------------------


class AttemptLost(AttemptEvent, frozen=True, kw_only=True, tag="attempt.lost"):
    """No contact. Judged when the window ends."""

    why: str  # bridge_closed, silent, restarted, asleep
    due_at_ms: int
    asleep: bool = False


class AttemptFound(AttemptEvent, frozen=True, kw_only=True, tag="attempt.found"):
    """Contact is back; `state` is what the journal says (acknowledged or started)."""

    state: str
    due_at_ms: int


class AttemptReopened(AttemptEvent, frozen=True, kw_only=True, tag="attempt.reopened"):
    """It had ended orphaned or runtime_died, and the journal has it after all."""

    state: str
    due_at_ms: int


class WindowPassed(AttemptEvent, frozen=True, kw_only=True, tag="attempt.window_passed"):
    """`window`: ack, reconcile, hold or approval."""

    window: str


class AttemptEnded(AttemptEvent, frozen=True, kw_only=True, tag="attempt.ended"):
    """The verdict."""

    verdict: Verdict


class VerdictRefined(AttemptEvent, frozen=True, kw_only=True, tag="attempt.verdict_refined"):
    """Later evidence; the former verdict stays in the log."""

    verdict: Verdict
    late: bool = True


class ClockStepped(Event, frozen=True, kw_only=True, tag="session.clock_stepped"):
    """The wall clock stepped against the monotonic one: every deadline moves with it."""

    by_ms: int


class Recorded(msgspec.Struct, frozen=True, gc=False):
    """One event with its header. `sequence` is 0 until the log has given it one."""

    at_ms: int
    actor: Actor
    event: Event
    reason: str | None = None
    sequence: int = 0


def _leaves(cls: type[Event]) -> list[type[Event]]:
    found = [leaf for sub in cls.__subclasses__() for leaf in _leaves(sub)]
    return found if cls.__subclasses__() else [cls]


EVENT_TYPES: dict[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in _leaves(Event)}


def type_of(event: Event) -> str:
    """The event's dotted name, as the log shows it."""
    return str(event.__struct_config__.tag)


def type_of_class(cls: type[Event]) -> str:
    """The dotted name of a type of event."""
    return str(cls.__struct_config__.tag)


def to_payload(event: Event) -> dict[str, Any]:
    """JSON builtins of the event, without its type."""
    payload: dict[str, Any] = msgspec.to_builtins(event)
    del payload["type"]
    return payload


def from_payload(type_name: str, payload: dict[str, Any]) -> Event:
    """The inverse of `to_payload`. Raises KeyError for a type that this version does not know."""
    return msgspec.convert(payload | {"type": type_name}, EVENT_TYPES[type_name])
