"""What the API shows in lists that people work from: attention, open work, computers, the audit log; as types.

Owns field names of answers, as `documents` does for the rest of the directory.
"""

from __future__ import annotations

from typing import Any

from msgspec import field

from caisey.api.documents import Document, EndpointShown


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
    """One thing that waits for a person; `reason` says why it stands where it stands. `sequence` is what `seen`
    carries. What is about a computer itself, not about a tool call, has no words on whether it ran."""

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
    """The newest answer of a tool. `subject` is what was asked about, where one tool answers about many things;
    `result` is null in the list of all."""

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
