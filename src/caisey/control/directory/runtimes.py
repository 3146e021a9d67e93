"""Runtimes: the keys enrolled on an endpoint, and what a person decides about one.

Owns suspicion, acceptance, revocation and splitting. Which process holds a key right now is the hub's to say; it
calls `suspect` and `split`, and follows what is saved here.
"""

from __future__ import annotations

from msgspec.structs import replace

from caisey.control import attention
from caisey.control.access import Principal
from caisey.control.attention import Alarm
from caisey.control.directory import endpoints
from caisey.control.directory.records import Endpoint, Runtime
from caisey.control.directory.store import Directory, Draft
from caisey.core import ids
from caisey.core.errors import Fault
from caisey.core.events import CONTROL_PLANE


def find(directory: Directory, principal: Principal, runtime_id: str) -> Runtime:
    """The runtime, for somebody who may see its endpoint. Raises `resource.not_found`."""
    runtime = directory.runtimes.get(runtime_id)
    if runtime is None:
        raise Fault("resource.not_found")
    endpoints.find(directory, principal, runtime.endpoint_id)
    return runtime


async def suspect(directory: Directory, runtime_id: str) -> None:
    """Two hold its key (PROTOCOL.md §3): nothing is dispatched to it until a person has decided."""
    runtime = directory.runtimes[runtime_id]
    async with directory.changing(runtime.organization_id, CONTROL_PLANE) as draft:
        runtime = directory.runtimes[runtime_id]
        if runtime.suspected_since_ms is not None:
            return
        endpoint = directory.endpoints[runtime.endpoint_id]
        draft.note("runtime.clone_suspected", endpoint_id=runtime.endpoint_id, runtime_id=runtime_id)
        draft.save(replace(runtime, suspected_since_ms=draft.at_ms))
        draft.statements.append(_alarm(draft, Alarm.CLONE_SUSPECTED, runtime_id, endpoint))


def accept(
    directory: Directory,
    draft: Draft,
    principal: Principal,
    runtime_id: str,
    *,
    reason: str | None,
    machine_fingerprint: str | None = None,
) -> Runtime:
    """A person says that it is what it claims to be. Raises `runtime.not_suspected`.

    `machine_fingerprint` is the one that it shows now, where that has changed.
    """
    runtime = find(directory, principal, runtime_id)
    if runtime.suspected_since_ms is None or runtime.revoked_at_ms is not None:
        raise Fault("runtime.not_suspected")
    draft.note("runtime.accepted", reason=reason, endpoint_id=runtime.endpoint_id, runtime_id=runtime_id)
    draft.statements.append(attention.clear_alarm(Alarm.CLONE_SUSPECTED, runtime_id))
    changed = replace(runtime, suspected_since_ms=None)
    if machine_fingerprint is not None:
        changed = replace(changed, machine_fingerprint=machine_fingerprint)
    return draft.save(changed)


def revoke(
    directory: Directory, draft: Draft, principal: Principal, runtime_id: str, *, reason: str | None, compromised: bool
) -> Runtime:
    """Nothing is dispatched to it any more; compromised: it is not even let in to report. It cannot be undone."""
    runtime = find(directory, principal, runtime_id)
    if runtime.revoked_at_ms is not None and (runtime.compromised or not compromised):
        return runtime
    draft.note(
        "runtime.revoked",
        reason=reason,
        endpoint_id=runtime.endpoint_id,
        runtime_id=runtime_id,
        compromised=compromised,
    )
    draft.statements.append(attention.clear_alarm(Alarm.CLONE_SUSPECTED, runtime_id))
    revoked_at = draft.at_ms if runtime.revoked_at_ms is None else runtime.revoked_at_ms
    return draft.save(replace(runtime, revoked_at_ms=revoked_at, compromised=compromised, suspected_since_ms=None))


async def split(directory: Directory, runtime_id: str) -> Endpoint:
    """It shows another boot id than a live one beside it: it is another computer, with an endpoint of its own."""
    runtime = directory.runtimes[runtime_id]
    async with directory.changing(runtime.organization_id, CONTROL_PLANE) as draft:
        former = directory.endpoints[directory.runtimes[runtime_id].endpoint_id]
        endpoint = Endpoint(
            endpoint_id=draft.new_id(ids.ENDPOINT),
            organization_id=former.organization_id,
            client_group_id=former.client_group_id,
            name=former.name,
            tags=former.tags,
            machine=former.machine,
            machine_fingerprint=runtime.machine_fingerprint,
            like_endpoint_id=former.endpoint_id,
            created_at_ms=draft.at_ms,
        )
        draft.note(
            "endpoint.split",
            endpoint_id=endpoint.endpoint_id,
            former_endpoint_id=former.endpoint_id,
            runtime_id=runtime_id,
            name=endpoint.name,
            client_group_id=endpoint.client_group_id,
        )
        draft.save(endpoint)
        draft.save(replace(directory.runtimes[runtime_id], endpoint_id=endpoint.endpoint_id))
        draft.statements.append(_alarm(draft, Alarm.SPLIT, endpoint.endpoint_id, endpoint))
    return endpoint


def _alarm(draft: Draft, alarm: Alarm, subject: str, endpoint: Endpoint) -> attention.Statement:
    return attention.raise_alarm(
        alarm,
        subject,
        organization_id=endpoint.organization_id,
        client_group_id=endpoint.client_group_id,
        endpoint_id=endpoint.endpoint_id,
        since_ms=draft.at_ms,
    )
