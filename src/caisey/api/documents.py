"""What the API shows of the directory, as types: encoded from them, and described from them in OpenAPI.

Owns field names of answers. Times are text (`times.at`), ids stand as `id` in their own document. Must never have a
field for a secret that is not shown once by design.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import field

from caisey.api.group_roles import GroupRole
from caisey.control.roles import Role
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
    """One API token. `role` counts in `client_group_ids` (null: every client group), but where `group_roles` names
    another."""

    id: str
    name: str
    role: Role
    client_group_ids: list[str] | None
    group_roles: list[GroupRole]
    created_at: str
    created_by: str
    expires_at: str | None


class TokenMade(TokenShown, frozen=True, kw_only=True):
    """The only answer that holds the token."""

    token: str | None
    secret_shown_once: bool | msgspec.UnsetType = msgspec.UNSET


class MemberShown(Document, frozen=True, kw_only=True):
    """One person. `role` counts in `client_group_ids` (null: every client group), but where `group_roles` names
    another."""

    id: str
    name: str
    email: str
    role: Role
    client_group_ids: list[str] | None
    group_roles: list[GroupRole]
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


class EffectiveField(Document, frozen=True, kw_only=True):
    """The value of one policy field and the level that it comes from: default, organization, client_group, tag:NAME,
    endpoint."""

    value: Any
    origin: str = field(name="from")


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
