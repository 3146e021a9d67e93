"""What is known of a computer, with its age: also when it is offline (API.md, endpoints).

Owns which results become facts, under which names. A fact is what a tool said, kept with when; it is never inferred.
Facts are no events: the result that they come from is in the log already.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from caisey.control.directory.records import Endpoint, Fact
from caisey.control.directory.store import Directory
from caisey.core.events import CONTROL_PLANE

NAMES: Final[dict[str, dict[str, str]]] = {
    "system_info": {
        "hostname": "hostname",
        "os": "os",
        "os_version": "os_version",
        "arch": "arch",
        "boot_at": "boot_at",
        "cpu_count": "cpu_count",
        "memory_bytes": "memory_bytes",
        "memory_free_bytes": "memory_free_bytes",
        "users": "signed_in_users",
        "idle_s": "idle_s",
        "pending_restart": "pending_restart",
        "serial": "serial",
    },
    "disk_usage": {"filesystems": "disks"},
}
"""For each tool: field of its result → name of the fact. A field that a result lacks, or that is null, says nothing."""

ADDRESSES_KEPT: Final = 64
ACCOUNT: Final = "runs_as"
"""Whom commands run as, by `hello`."""
ACCOUNTS: Final = "runs_as_others"
"""Whether a call may name another account there, by `hello`: a shell in version 2."""


def known(directory: Directory, endpoint: Endpoint) -> dict[str, Fact]:
    """All facts of an endpoint; what it said when it was enrolled stands in until something newer is known."""
    machine = endpoint.machine
    first: dict[str, Any] = {
        "hostname": machine.hostname,
        "os": machine.os,
        "os_version": machine.os_version,
        "arch": machine.arch,
        **({"practice": True} if machine.practice else {}),
    }
    at_ms = endpoint.created_at_ms
    enrolled = {
        name: Fact(endpoint_id=endpoint.endpoint_id, name=name, value=value, source="enrollment", at_ms=at_ms)
        for name, value in first.items()
    }
    return enrolled | directory.facts.get(endpoint.endpoint_id, {})


def of_result(endpoint_id: str, tool: str, arguments: dict[str, Any], result: Any, at_ms: int) -> list[Fact]:
    """The facts in the result of a tool call, which fits its schema. Looking at one disk says nothing of the others."""
    if not isinstance(result, dict) or (tool == "disk_usage" and arguments):
        return []
    known = {field: value for field, value in result.items() if value is not None}
    found = [(name, known[field]) for field, name in NAMES.get(tool, {}).items() if field in known]
    if tool == "network":
        found.append(("addresses", list(_addresses(result))[:ADDRESSES_KEPT]))
    return [Fact(endpoint_id=endpoint_id, name=name, value=value, source=tool, at_ms=at_ms) for name, value in found]


def is_source(tool: str) -> bool:
    """Whether results of this tool hold facts."""
    return tool in NAMES or tool == "network"


async def keep(directory: Directory, organization_id: str, facts: list[Fact]) -> None:
    """The newest of each name stays."""
    async with directory.changing(organization_id, CONTROL_PLANE) as draft:
        for fact in facts:
            former = directory.facts.get(fact.endpoint_id, {}).get(fact.name)
            if former is None or former.at_ms <= fact.at_ms:
                draft.save(fact)


def _addresses(result: dict[str, Any]) -> Iterator[str]:
    for interface in result.get("interfaces", ()):
        for entry in interface.get("addresses", ()):
            address = str(entry.get("address", ""))
            if address and not address.startswith(("127.", "::1", "fe80:", "169.254.")):
                yield address
