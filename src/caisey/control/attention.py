"""What waits for a person, for the reasons that are not a tool call's: identity and safety.

Owns the items that the directory and the hub raise and take away, with their labels. Items of tool calls are the
projection's. Reading the list is `reports`'.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

RAISE: Final = """
    INSERT INTO attention
        (key, organization_id, client_group_id, endpoint_id, type, label, rank, since_ms, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING
"""

Statement = tuple[str, tuple[str | int | bytes | None, ...]]

RANK_ALARM: Final = 0
"""Before everything else (CONSOLE.md, Attention: alarm comes first)."""


class Alarm(StrEnum):
    """What the list shows as `type`."""

    FINGERPRINT_SHARED = "endpoint.fingerprint_shared"
    SPLIT = "endpoint.split"
    JOURNAL_REGRESSED = "endpoint.journal_regressed"
    CLONE_SUSPECTED = "runtime.clone_suspected"
    UNKNOWN_ATTEMPT = "runtime.unknown_attempt"


LABELS: Final[dict[Alarm, str]] = {
    Alarm.FINGERPRINT_SHARED: "Looks like a computer that is known",
    Alarm.SPLIT: "Two computers under one name, split",
    Alarm.JOURNAL_REGRESSED: "The computer's own record was set back",
    Alarm.CLONE_SUSPECTED: "Two computers use one key",
    Alarm.UNKNOWN_ATTEMPT: "The computer reports work we do not know",
}
REASONS: Final[dict[Alarm, str]] = {
    Alarm.FINGERPRINT_SHARED: "identity: join it with the other one, or leave both",
    Alarm.SPLIT: "identity: they showed different boot ids at the same time",
    Alarm.JOURNAL_REGRESSED: "safety: nothing that may change things goes there by itself until you have looked",
    Alarm.CLONE_SUSPECTED: "identity: nothing is sent to either until you decide",
    Alarm.UNKNOWN_ATTEMPT: "safety: Caisey may have been restored from a backup",
}


def raise_alarm(
    alarm: Alarm,
    subject: str,
    *,
    organization_id: str,
    client_group_id: str | None,
    endpoint_id: str,
    since_ms: int,
) -> Statement:
    """The item about `subject` (a runtime's or an endpoint's id) stands in the list; the same one stands there once."""
    return (
        RAISE,
        (
            f"{alarm}:{subject}",
            organization_id,
            client_group_id,
            endpoint_id,
            alarm.value,
            LABELS[alarm],
            RANK_ALARM,
            since_ms,
            REASONS[alarm],
        ),
    )


def clear_alarm(alarm: Alarm, subject: str) -> Statement:
    """The item about `subject` is gone; nothing happens where there is none."""
    return ("DELETE FROM attention WHERE key = ?", (f"{alarm}:{subject}",))


def clear_endpoint(endpoint_id: str) -> Statement:
    """Everything about an endpoint that is gone."""
    return ("DELETE FROM attention WHERE endpoint_id = ?", (endpoint_id,))


def move_endpoint(endpoint_id: str, client_group_id: str | None) -> Statement:
    """What is about the endpoint itself is seen by who sees the endpoint now; what is about a session stays."""
    return (
        "UPDATE attention SET client_group_id = ? WHERE endpoint_id = ? AND session_id IS NULL",
        (client_group_id, endpoint_id),
    )
