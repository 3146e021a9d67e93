"""What the API shows of the directory, as types: encoded from them, and described from them in OpenAPI.

Owns field names of answers. Times are text (`times.at`), ids stand as `id` in their own document. Must never have a
field for a secret that is not shown once by design.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import field

from caisey.control.access import Role
from caisey.core.policy import PolicyFields
from caisey.protocol.fields import Effect

T = TypeVar("T")


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Every answer with fixed fields derives from this."""


class Problem(Document, frozen=True, kw_only=True):
    """RFC 9457 problem details; some codes add fields of their own."""

    type: str
    title: str
    status: int
    code: str
    hint: str
    detail: str | msgspec.UnsetType = msgspec.UNSET
    errors: list[ShapeError] | msgspec.UnsetType = msgspec.UNSET


class ShapeError(Document, frozen=True, kw_only=True):
    """One place that does not fit. `found` is a type or a length, never a value."""

    pointer: str
    expected: str
    found: str


class Command(Document, frozen=True, kw_only=True):
    """What to paste on the computer, per OS."""

    linux: str
    macos: str
    windows: str


class EnrollmentTokenShown(Document, frozen=True, kw_only=True):
    """One line of the list of enrollment tokens."""

    id: str
    scope: str
    client_group_id: str | None
    endpoint_id: str | None
    uses: int
    used: int
    created_at: str
    created_by: str
    expires_at: str
    expired: bool


class Enrolled(Document, frozen=True, kw_only=True):
    """One agent that joined with a token."""

    runtime_id: str
    endpoint_id: str
    name: str
    at: str


class EnrollmentTokenWhole(EnrollmentTokenShown, frozen=True, kw_only=True):
    """A token and who has joined with it, newest first; since it was rotated, where it was."""

    enrolled: list[Enrolled]


class EnrollmentTokenMade(Document, frozen=True, kw_only=True):
    """The only answer that holds the token. The commands have it too; that for practice starts a computer that executes
    nothing and stalls as it is asked to."""

    id: str
    token: str | None
    command: Command | None
    practice_command: str | None
    scope: str
    client_group_id: str | None
    endpoint_id: str | None
    uses: int
    expires_at: str
    secret_shown_once: bool | msgspec.UnsetType = msgspec.UNSET


class TokenShown(Document, frozen=True, kw_only=True):
    """One API token. `client_group_ids` null: every client group."""

    id: str
    name: str
    role: Role
    client_group_ids: list[str] | None
    created_at: str
    created_by: str
    expires_at: str | None


class TokenMade(TokenShown, frozen=True, kw_only=True):
    """The only answer that holds the token."""

    token: str | None
    secret_shown_once: bool | msgspec.UnsetType = msgspec.UNSET


class MemberShown(Document, frozen=True, kw_only=True):
    """One person. `client_group_ids` null: every client group."""

    id: str
    name: str
    email: str
    role: Role
    client_group_ids: list[str] | None
    created_at: str
    can_sign_in: bool
    second_factor: bool
    last_used_at: str | None


class ClientGroupShown(Document, frozen=True, kw_only=True):
    """One customer or environment."""

    id: str
    name: str
    created_at: str


class SendableShown(Document, frozen=True, kw_only=True):
    """Whether new work may go out now, why not, and when a runtime last proved that it answers."""

    value: bool
    reason: str | None
    proved_at: str | None


class RuntimeShown(Document, frozen=True, kw_only=True):
    """One agent of the computer. `incarnation` is null while it was never connected."""

    id: str
    incarnation: str | None
    boot_id: str | None
    bridges: list[str]
    last_proof_at: str | None
    version: str
    journal_id: str
    enrolled_at: str
    accepting: bool
    settle_only: bool
    suspected_since: str | None
    revoked_at: str | None
    compromised: bool


class FactShown(Document, frozen=True, kw_only=True):
    """One thing known of the computer, and how old that knowledge is."""

    value: Any
    at: str
    age_s: float
    source: str


class RemovingShown(Document, frozen=True, kw_only=True):
    """Until `gone_at` it can be undone: PATCH {"removing": false}."""

    since: str
    gone_at: str


class EndpointShown(Document, frozen=True, kw_only=True):
    """One computer. `open_sessions` and `held` are counts."""

    id: str
    name: str
    hostname: str
    client_group_id: str | None
    client_group: str | None
    tags: list[str]
    health: str
    health_since: str | None
    sendable: SendableShown
    runtimes: list[RuntimeShown]
    open_sessions: int
    held: int
    facts: dict[str, FactShown]
    review_needed: bool
    like_endpoint_id: str | None
    removing: RemovingShown | None
    created_at: str


class EndpointsPage(Document, frozen=True, kw_only=True):
    """A page of computers; `total` counts all that fit."""

    items: list[EndpointShown]
    next: str | None
    total: int


class TagCount(Document, frozen=True, kw_only=True):
    """One tag and how many computers carry it."""

    tag: str
    count: int


class GroupCount(Document, frozen=True, kw_only=True):
    """One client group and how many computers are in it."""

    id: str
    name: str
    count: int


class EndpointsSummary(Document, frozen=True, kw_only=True):
    """How many computers there are, by health, tag and client group. `sequence`: from where a stream goes on."""

    total: int
    by_health: dict[str, int]
    tags: list[TagCount]
    client_groups: list[GroupCount]
    sequence: int


class HealthPeriod(Document, frozen=True, kw_only=True):
    """One stretch of one health; `until` is null for the one that lasts."""

    health: str
    since: str
    until: str | None


class HealthHistory(Document, frozen=True, kw_only=True):
    """Oldest first. `truncated`: there were more changes than are shown; the newest are."""

    since: str = field(name="from")
    until: str = field(name="to")
    periods: list[HealthPeriod]
    truncated: bool


class ChangeShown(Document, frozen=True, kw_only=True):
    """A step that may change things and started, or may have, on the computer; `changes` is what its tool recorded."""

    at: str
    actor_id: str
    who: str
    session_id: str
    title: str
    prompt_id: str
    tool_call_id: str
    position: int
    literal: str
    label: str
    tone: str
    ran_label: str
    changes: list[dict[str, Any]]


class Look(Document, frozen=True, kw_only=True):
    """The newest answer of a tool. `subject` is what was asked about, where one tool answers about many things; `result`
    is null in the list of all."""

    tool: str
    subject: str
    at: str
    age_s: float
    session_id: str
    prompt_id: str
    tool_call_id: str
    attempt: int
    literal: str
    result: Any


class EffectiveField(Document, frozen=True, kw_only=True):
    """The value of one policy field and the level that it comes from: default, organization, client_group, tag:NAME,
    endpoint."""

    value: Any
    origin: str = field(name="from")


class FirstAction(Document, frozen=True, kw_only=True):
    """The action that has the default focus. `safe`: it may be sent from a list, without opening the session first."""

    action: str
    code: str
    label: str
    consequence: str
    tool_call_id: str
    body: dict[str, Any]
    safe: bool
    unavailable_because: str | None


class Snoozed(Document, frozen=True, kw_only=True):
    """Who put it aside, until when, and why."""

    until: str
    reason: str
    by: str
    by_name: str | None


class AttentionItem(Document, frozen=True, kw_only=True):
    """One thing that waits for a person; `reason` says why it stands where it stands. `sequence` is what `seen` carries.
    What is about a computer itself, not about a tool call, has no words on whether it ran."""

    id: str
    type: str
    label: str
    since: str
    due_at: str | None
    owner: str | None
    owner_name: str | None
    reason: str | None
    session_id: str | None
    prompt_id: str | None
    tool_call_id: str | None
    endpoint_id: str | None
    endpoint: str | None
    client_group_id: str | None
    client_group: str | None
    tone: str
    summary: str | None
    ran: str | None
    ran_label: str | None
    ran_note: str | None
    may_have_changed: bool
    literal: str | None
    ticket: str | None
    sequence: int | None
    first_action: FirstAction | None
    snoozed: Snoozed | None


class AttentionPage(Document, frozen=True, kw_only=True):
    """A page of the list. `total` and `aside` count all of it, up to 1000; `changed_at` is when it last changed."""

    items: list[AttentionItem]
    next: str | None
    total: int
    aside: int
    back_at: str | None
    changed_at: str | None
    sequence: int


class OpenWork(Document, frozen=True, kw_only=True):
    """One tool call that has not ended: in words, whose it is, its next deadline and what it becomes then."""

    session_id: str
    prompt_id: str
    tool_call_id: str
    endpoint_id: str
    endpoint: str | None
    client_group_id: str | None
    client_group: str | None
    position: int
    literal: str
    effect: str
    state: str
    label: str
    summary: str
    tone: str
    ran: str
    ran_label: str
    since: str
    due_at: str | None
    next_state: str | None
    owner: str
    owner_name: str | None


class SessionShown(Document, frozen=True, kw_only=True):
    """One line of the list of sessions. `waiting` counts what waits for a person in it."""

    id: str
    endpoint_id: str
    client_group_id: str | None
    title: str
    ticket: str | None
    owner: str
    state: str
    created_at: str
    updated_at: str
    endpoint: str | None
    client_group: str | None
    owner_name: str | None
    waiting: int


class EventShown(Document, frozen=True, kw_only=True):
    """One event as the log, the streams and the audit line show it."""

    sequence: int
    at: str
    organization_id: str
    session_id: str | None
    type: str
    actor: ActorShown
    reason: str | None
    payload: dict[str, Any]
    salts: dict[str, str]
    previous: str
    digest: str


class ActorShown(Document, frozen=True, kw_only=True):
    """Who did it."""

    kind: str
    id: str


class PresentShown(Document, frozen=True, kw_only=True):
    """Somebody who has a session open. `you`: the one who asks. `name` is null where there is none."""

    actor: ActorShown
    name: str | None
    since: str
    you: bool


class PresenceShown(Document, frozen=True, kw_only=True):
    """Who has a session open now."""

    items: list[PresentShown]


class AuditKey(Document, frozen=True, kw_only=True):
    """The control plane's public key, in base64."""

    algorithm: str
    public_key: str


class AuditSearch(Document, frozen=True, kw_only=True):
    """Events, newest first. Between `searched_from` and `searched_to` the log was looked through; `next` goes on.
    `names`: display names of the actors and computers in them, by id."""

    items: list[dict[str, Any]]
    names: dict[str, str]
    next: str | None
    searched_from: int
    searched_to: int


class BreakShown(Document, frozen=True, kw_only=True):
    """The first place of the chain that does not hold."""

    what: str
    sequence: int
    detail: str


class AuditVerified(Document, frozen=True, kw_only=True):
    """How far the chain was checked, and up to which signed head it holds. `next`: there is more to check."""

    events: int
    verified_to: int
    target: int
    head_sequence: int | None
    head_at: str | None
    head_digest: str | None
    holds: bool
    broken: BreakShown | None
    at: str
    next: str | None


class PolicyLevelShown(Document, frozen=True, kw_only=True):
    """One level that sets something. `subject` is an id, a tag, or empty for the organization."""

    level: str
    subject: str
    name: str
    fields: PolicyFields


class ToolShown(Document, frozen=True, kw_only=True):
    """One tool. `effect` is that of a call for which nobody says more; with `effect_by_call` a person may state any.
    `verify` is the read-only check; its arguments are taken from the call's, or null where a person writes them."""

    name: str
    version: int
    summary: str
    arguments_schema: dict[str, Any]
    result_schema: dict[str, Any] | None
    effect: str
    effect_by_call: bool
    effect_by_argument: dict[str, dict[str, Effect]]
    platforms: list[str]
    verify: dict[str, Any] | None
    digest: str


class ShapeSeen(Document, frozen=True, kw_only=True):
    """One fingerprint inside a group."""

    fingerprint: str
    side: str
    count: int
    endpoints: int
    errors: Any
    outline: Any


class ShapeLine(Document, frozen=True, kw_only=True):
    """One group of shapes: how often, where, and which side is the likelier cause (`tool`, `endpoint`, `unclear`)."""

    group: dict[str, Any]
    count: int
    endpoints: int
    fingerprints: int
    likelier_cause: str
    why: str
    tools: list[str]
    endpoint_ids: list[str]
    runtime_versions: list[str]
    client_group_ids: list[str]
    shapes: list[ShapeSeen]
    first_at: str
    last_at: str
    name: str | None
    likelier_endpoint_id: str | None
    likelier_endpoint: str | None


class RecoveryLine(Document, frozen=True, kw_only=True):
    """Stalls of one group: by verdict, how long until they were known, how they were recovered."""

    group: dict[str, Any]
    stalls: int
    by_verdict: dict[str, int]
    by_ran: dict[str, int]
    seconds_until_known: Seconds
    recovered_without_a_person: int
    recovered_by_a_person: int
    not_recovered: int
    name: str | None


class Seconds(Document, frozen=True, kw_only=True):
    """Half of the cases were at or below `p50`, nine of ten at or below `p90`."""

    p50: float
    p90: float
    max: float


class Report(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A report over a span of time."""

    items: list[T]
    next: str | None
    since: str = field(name="from")
    until: str = field(name="to")
    group_by: str


Anything = dict[str, Any]
"""A document whose fields the API page names; they are made by the core's presentation."""
