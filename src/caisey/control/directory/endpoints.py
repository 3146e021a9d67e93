"""Endpoints: found by who may see them, renamed, moved, joined, removed.

Owns the life of an endpoint's record. Whether a computer answers is the hub's to say.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from caisey.control import attention
from caisey.control.access import Principal
from caisey.control.attention import Alarm
from caisey.control.directory import client_groups
from caisey.control.directory.records import Endpoint
from caisey.control.directory.store import Directory, Draft
from caisey.core.errors import Fault
from caisey.core.events import CONTROL_PLANE

REMOVAL_MS: Final = 7 * 86_400_000
"""How long a removal can be undone (API.md)."""


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; UNSET stays. `removing` False takes a removal back."""

    name: str | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    client_group_id: str | UnsetType | None = UNSET
    removing: bool | UnsetType = UNSET


def find(directory: Directory, principal: Principal, endpoint_id: str) -> Endpoint:
    """The endpoint, for somebody who may see it. Raises `resource.not_found`, `access.role_too_low`."""
    found = directory.endpoints.get(endpoint_id)
    if found is None or found.removed_at_ms is not None or found.organization_id != principal.organization_id:
        raise Fault("resource.not_found")
    principal.require_group(found.client_group_id)
    return found


def sees(principal: Principal, endpoint: Endpoint) -> bool:
    """Whether the endpoint is the principal's to see."""
    if endpoint.organization_id != principal.organization_id:
        return False
    return principal.sees_group(endpoint.client_group_id)


def visible(directory: Directory, principal: Principal) -> list[Endpoint]:
    """All endpoints that the principal may see, in no order."""
    present = directory.endpoints_of.get(principal.organization_id, {}).values()
    if principal.everywhere:
        return list(present)
    return [endpoint for endpoint in present if principal.sees_group(endpoint.client_group_id)]


def change(
    directory: Directory, draft: Draft, principal: Principal, endpoint_id: str, wanted: EndpointChange
) -> Endpoint:
    """Rename, tag, move, or take a removal back. Raises `resource.not_found`, `access.group_limited`."""
    endpoint = find(directory, principal, endpoint_id)
    changed = endpoint
    if wanted.name is not UNSET:
        changed = replace(changed, name=wanted.name)
    if wanted.tags is not UNSET:
        changed = replace(changed, tags=tuple(sorted(set(wanted.tags))))
    if wanted.client_group_id is not UNSET and wanted.client_group_id != endpoint.client_group_id:
        changed = replace(changed, client_group_id=_group(directory, principal, wanted.client_group_id))
        draft.statements.append(attention.move_endpoint(endpoint_id, changed.client_group_id))
    if changed != endpoint:
        draft.note(
            "endpoint.updated",
            endpoint_id=endpoint_id,
            name=changed.name,
            tags=list(changed.tags),
            client_group_id=changed.client_group_id,
        )
    if wanted.removing is False and endpoint.removing_since_ms is not None:
        changed = replace(changed, removing_since_ms=None)
        draft.note("endpoint.removal_undone", endpoint_id=endpoint_id)
    elif wanted.removing is True:
        return remove(directory, draft, principal, endpoint_id)
    return draft.save(changed) if changed != endpoint else endpoint


def remove(directory: Directory, draft: Draft, principal: Principal, endpoint_id: str) -> Endpoint:
    """Begins the removal; nothing new is sent from now on. Doing it twice does not begin it again."""
    endpoint = find(directory, principal, endpoint_id)
    if endpoint.removing_since_ms is not None:
        return endpoint
    draft.note("endpoint.removing", endpoint_id=endpoint_id)
    return draft.save(replace(endpoint, removing_since_ms=draft.at_ms))


async def finish_removals(directory: Directory, now_ms: int) -> int:
    """End the removals whose 7 days have passed: the endpoints are gone and their runtimes revoked."""
    due = [
        endpoint
        for endpoint in directory.endpoints.values()
        if endpoint.removed_at_ms is None
        and endpoint.removing_since_ms is not None
        and endpoint.removing_since_ms + REMOVAL_MS <= now_ms
    ]
    for endpoint in due:
        async with directory.changing(endpoint.organization_id, CONTROL_PLANE) as draft:
            present = directory.endpoints[endpoint.endpoint_id]
            if present.removing_since_ms == endpoint.removing_since_ms and present.removed_at_ms is None:
                _gone(directory, draft, present, "endpoint.removed")
    return len(due)


def join(directory: Directory, draft: Draft, principal: Principal, endpoint_id: str, other_id: str) -> Endpoint:
    """The runtimes of the other endpoint become runtimes of this one; the other one is gone.

    The caller has made sure that the other has no open work and that both are not live with different boot ids.
    Raises `endpoint.not_joinable` where they show different fingerprints.
    """
    endpoint = find(directory, principal, endpoint_id)
    other = find(directory, principal, other_id)
    if endpoint_id == other_id:
        raise Fault("endpoint.not_joinable", "They are the same computer.")
    if endpoint.machine_fingerprint != other.machine_fingerprint:
        raise Fault("endpoint.not_joinable", "They show different machine fingerprints.")
    for runtime in list(directory.runtimes_of.get(other_id, {}).values()):
        draft.save(replace(runtime, endpoint_id=endpoint_id))
    draft.note("endpoint.joined", endpoint_id=endpoint_id, joined_endpoint_id=other_id)
    _gone(directory, draft, other, "endpoint.removed", joined_to=endpoint_id)
    draft.statements.append(attention.clear_alarm(Alarm.FINGERPRINT_SHARED, endpoint_id))
    joined = replace(endpoint, like_endpoint_id=None) if endpoint.like_endpoint_id == other_id else endpoint
    return draft.save(joined)


def _gone(directory: Directory, draft: Draft, endpoint: Endpoint, event_type: str, **more: str) -> None:
    draft.note(event_type, endpoint_id=endpoint.endpoint_id, **more)
    draft.save(replace(endpoint, removed_at_ms=draft.at_ms))
    draft.statements.append(attention.clear_endpoint(endpoint.endpoint_id))
    if not more:
        for runtime in directory.runtimes_of.get(endpoint.endpoint_id, {}).values():
            if runtime.revoked_at_ms is None:
                draft.save(replace(runtime, revoked_at_ms=draft.at_ms))


def _group(directory: Directory, principal: Principal, client_group_id: str | None) -> str | None:
    """A group to move to: one that the mover sees, so that nobody moves a computer out of their own sight."""
    if client_group_id is not None:
        return client_groups.find(directory, principal, client_group_id).client_group_id
    if not principal.everywhere:
        raise Fault("access.group_limited")
    return None
