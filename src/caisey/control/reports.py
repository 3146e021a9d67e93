"""Reports: which shapes came back, and how stalls were recovered (RECOVERY.md §8; API.md reports).

Owns the counting over rows of the read models, and the rule that says which side is the likelier cause. Pure; who may
see which rows is decided where they are read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

SAME_ON_ENDPOINTS: Final = 3
"""The same shape on this many endpoints points at the tool's definition."""
SEVERAL: Final = 2
"""One endpoint with this many shapes or tools points at that endpoint."""
SHOWN: Final = 20
"""How many of the shapes, endpoints and so on of one group are listed."""


class ShapeRow(msgspec.Struct, frozen=True):
    """One row of `shapes`."""

    fingerprint: str
    client_group_id: str | None
    endpoint_id: str
    runtime_version: str
    tool: str
    tool_version: int
    side: str
    shape: str
    count: int
    first_at_ms: int
    last_at_ms: int

    @property
    def tool_words(self) -> str:
        """The tool with its version, as people say it."""
        return f"{self.tool} {self.tool_version}" if self.tool_version else self.tool


SHAPE_GROUPS: Final[dict[str, Callable[[ShapeRow], dict[str, Any]]]] = {
    "fingerprint": lambda row: {"fingerprint": row.fingerprint, "side": row.side, "tool": row.tool},
    "tool": lambda row: {"tool": row.tool, "tool_version": row.tool_version},
    "endpoint": lambda row: {"endpoint_id": row.endpoint_id},
    "runtime_version": lambda row: {"runtime_version": row.runtime_version},
    "client_group": lambda row: {"client_group_id": row.client_group_id},
}


class Cause(NamedTuple):
    """Which side is the likelier cause, and the counts that say so."""

    side: str
    why: str
    endpoint_id: str | None = None


class ShapeGroup(msgspec.Struct, frozen=True):
    """One line of the report."""

    group: dict[str, Any]
    rows: list[ShapeRow]
    cause: Cause

    @property
    def count(self) -> int:
        """How many documents."""
        return sum(row.count for row in self.rows)


def shape_groups(rows: Sequence[ShapeRow], group_by: str) -> list[ShapeGroup]:
    """The groups, the most frequent first. Causes are judged over all rows, not over a group's alone."""
    spread: dict[str, set[str]] = defaultdict(set)
    by_endpoint: dict[str, list[ShapeRow]] = defaultdict(list)
    for row in rows:
        spread[row.fingerprint].add(row.endpoint_id)
        by_endpoint[row.endpoint_id].append(row)
    grouped: dict[str, list[ShapeRow]] = defaultdict(list)
    names: dict[str, dict[str, Any]] = {}
    for row in rows:
        group = SHAPE_GROUPS[group_by](row)
        key = msgspec.json.encode(group).decode()
        names[key] = group
        grouped[key].append(row)
    found = [ShapeGroup(names[key], mine, _cause(mine, spread, by_endpoint)) for key, mine in grouped.items()]
    return sorted(found, key=lambda line: (-line.count, msgspec.json.encode(line.group)))


def _cause(rows: list[ShapeRow], spread: dict[str, set[str]], by_endpoint: dict[str, list[ShapeRow]]) -> Cause:
    widest = max(rows, key=lambda row: len(spread[row.fingerprint]))
    endpoints = len(spread[widest.fingerprint])
    if endpoints >= SAME_ON_ENDPOINTS:
        why = f"The same shape on {endpoints} endpoints points at the definition of {widest.tool_words}."
        return Cause("tool", why)
    for endpoint_id in sorted({row.endpoint_id for row in rows}):
        there = by_endpoint[endpoint_id]
        shapes, tools = len({row.fingerprint for row in there}), len({row.tool_words for row in there})
        if shapes >= SEVERAL or tools >= SEVERAL:
            why = f"{shapes} shapes and {tools} tools on one endpoint point at {endpoint_id}."
            return Cause("endpoint", why, endpoint_id)
    return Cause("unclear", f"Seen on {endpoints} of the {SAME_ON_ENDPOINTS} endpoints that would point at the tool.")


class StallRow(NamedTuple):
    """One row of `stalls`."""

    kind: str
    ran: str
    client_group_id: str | None
    endpoint_id: str
    tool: str
    at_ms: int
    known_after_ms: int
    recovered: str | None


DAY_MS: Final = 86_400_000
STALL_GROUPS: Final[dict[str, Callable[[StallRow], dict[str, Any]]]] = {
    "verdict": lambda row: {"kind": row.kind},
    "tool": lambda row: {"tool": row.tool},
    "endpoint": lambda row: {"endpoint_id": row.endpoint_id},
    "client_group": lambda row: {"client_group_id": row.client_group_id},
    "all": lambda row: {},
    "day": lambda row: {"day_ms": row.at_ms // DAY_MS * DAY_MS},
}


class StallGroup(NamedTuple):
    """One line of the report. Seconds are from the dispatch until the verdict was known."""

    group: dict[str, Any]
    stalls: int
    by_verdict: dict[str, int]
    by_ran: dict[str, int]
    p50_s: float
    p90_s: float
    max_s: float
    automatic: int
    person: int

    @property
    def not_recovered(self) -> int:
        """What has not been answered since."""
        return self.stalls - self.automatic - self.person


def stall_groups(rows: Iterable[StallRow], group_by: str) -> list[StallGroup]:
    """The groups, the one with the most stalls first."""
    grouped: dict[bytes, list[StallRow]] = defaultdict(list)
    names: dict[bytes, dict[str, Any]] = {}
    for row in rows:
        group = STALL_GROUPS[group_by](row)
        key = msgspec.json.encode(group)
        names[key] = group
        grouped[key].append(row)
    found = [_stall_group(names[key], mine) for key, mine in grouped.items()]
    return sorted(found, key=lambda line: (-line.stalls, msgspec.json.encode(line.group)))


def _stall_group(group: dict[str, Any], rows: list[StallRow]) -> StallGroup:
    known = sorted(row.known_after_ms / 1000 for row in rows)
    recovered = Counter(row.recovered for row in rows)
    return StallGroup(
        group=group,
        stalls=len(rows),
        by_verdict=dict(Counter(row.kind for row in rows)),
        by_ran=dict(Counter(row.ran for row in rows)),
        p50_s=_quantile(known, 0.5),
        p90_s=_quantile(known, 0.9),
        max_s=known[-1],
        automatic=recovered["automatic"],
        person=recovered["person"],
    )


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share does not exceed."""
    return ordered[max(0, -(-len(ordered) * int(share * 100) // 100) - 1)]
