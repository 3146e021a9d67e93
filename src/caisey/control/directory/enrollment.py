"""Enrollment: a key becomes a runtime of an endpoint (PROTOCOL.md §2).

Owns who is let in, which endpoint a new runtime belongs to, and that the same question gets the same answer. Must never
let a computer join another one on its fingerprint alone: fingerprints are copied with disks.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from caisey.control import attention
from caisey.control.attention import Alarm
from caisey.control.directory.records import Endpoint, Enrollment, EnrollmentToken, Machine, Runtime
from caisey.control.directory.store import Directory, Draft
from caisey.core import ids
from caisey.core.errors import Fault
from caisey.core.events import Actor
from caisey.protocol.enrollment import EnrollmentAnswer, EnrollmentRequest, parse_token, token_digest

PRACTICE_TAG: Final = "practice"
"""So that a list can be searched for practice computers; the fact `practice` stays where somebody removes the tag."""


async def enroll(directory: Directory, request: EnrollmentRequest, control_plane_key: bytes) -> bytes:
    """Let a key in; the body of the 201. Raises the faults of PROTOCOL.md §2."""
    parsed = parse_token(request.token)
    if parsed is None:
        raise Fault("enrollment.token_invalid")
    digest = token_digest(parsed.text)
    token = directory.enrollment_token_by_digest.get(digest)
    if token is None or token.deleted_at_ms is not None:
        raise Fault("enrollment.token_invalid")
    async with directory.changing(token.organization_id, Actor("token", token.token_id)) as draft:
        return _decide(directory, draft, digest, request, control_plane_key)


def _decide(
    directory: Directory, draft: Draft, digest: str, request: EnrollmentRequest, control_plane_key: bytes
) -> bytes:
    token = directory.enrollment_token_by_digest.get(digest)
    if token is None or token.deleted_at_ms is not None:
        raise Fault("enrollment.token_invalid")
    former = directory.enrollments.get((digest, request.public_key))
    if former is not None:
        return former.answer
    if token.expires_at_ms <= draft.at_ms:
        raise Fault("enrollment.token_expired")
    if token.used >= token.uses:
        raise Fault("enrollment.token_used_up")
    if request.public_key in directory.runtime_by_key:
        raise Fault("enrollment.key_already_enrolled")
    endpoint = _endpoint(directory, draft, token, request)
    runtime = _runtime(draft, token, endpoint, request)
    draft.save(replace(token, used=token.used + 1))
    group = directory.client_groups.get(endpoint.client_group_id or "")
    answer = msgspec.json.encode(
        EnrollmentAnswer(
            runtime_id=runtime.runtime_id,
            endpoint_id=endpoint.endpoint_id,
            organization=directory.organizations[token.organization_id].name,
            client_group=None if group is None else group.name,
            control_plane_key=control_plane_key,
        )
    )
    draft.save(
        Enrollment(
            token_digest=digest,
            public_key=request.public_key,
            runtime_id=runtime.runtime_id,
            answer=answer,
            at_ms=draft.at_ms,
        )
    )
    return answer


def _endpoint(directory: Directory, draft: Draft, token: EnrollmentToken, request: EnrollmentRequest) -> Endpoint:
    """The endpoint it joins, or a new one, marked as like another where it shows that one's fingerprint."""
    alike = _alike(directory, token.organization_id, request.endpoint.machine_fingerprint)
    if token.scope == "endpoint":
        bound = directory.endpoints.get(token.endpoint_id or "")
        if bound is None or bound not in alike:
            raise Fault("enrollment.token_invalid", "The token is bound to another computer than this one.")
        return bound
    for endpoint in alike:
        if _covers(token, endpoint) and _has_journal(directory, endpoint, request.journal_id):
            return endpoint
    return _new_endpoint(draft, token, request, alike)


def _alike(directory: Directory, organization_id: str, fingerprint: str) -> list[Endpoint]:
    """Present endpoints that show this fingerprint, oldest first. One that is being removed is nobody's to join."""
    found = directory.endpoints_like.get((organization_id, fingerprint), {})
    present = [directory.endpoints[endpoint_id] for endpoint_id in found]
    usable = [endpoint for endpoint in present if endpoint.removing_since_ms is None]
    return sorted(usable, key=lambda endpoint: (endpoint.created_at_ms, endpoint.endpoint_id))


def _covers(token: EnrollmentToken, endpoint: Endpoint) -> bool:
    return token.scope == "organization" or token.client_group_id == endpoint.client_group_id


def _has_journal(directory: Directory, endpoint: Endpoint, journal_id: str) -> bool:
    runtimes = directory.runtimes_of.get(endpoint.endpoint_id, {}).values()
    return any(runtime.journal_id == journal_id and not runtime.compromised for runtime in runtimes)


def _new_endpoint(draft: Draft, token: EnrollmentToken, request: EnrollmentRequest, alike: list[Endpoint]) -> Endpoint:
    seen = request.endpoint
    endpoint = Endpoint(
        endpoint_id=draft.new_id(ids.ENDPOINT),
        organization_id=token.organization_id,
        client_group_id=token.client_group_id,
        name=seen.hostname,
        tags=(PRACTICE_TAG,) if seen.practice else (),
        machine=Machine(
            hostname=seen.hostname, os=seen.os, os_version=seen.os_version, arch=seen.arch, practice=seen.practice
        ),
        machine_fingerprint=seen.machine_fingerprint,
        like_endpoint_id=alike[0].endpoint_id if alike else None,
        created_at_ms=draft.at_ms,
    )
    draft.note(
        "endpoint.enrolled",
        endpoint_id=endpoint.endpoint_id,
        client_group_id=endpoint.client_group_id,
        name=endpoint.name,
        machine=msgspec.to_builtins(endpoint.machine),
        machine_fingerprint=endpoint.machine_fingerprint,
        like_endpoint_id=endpoint.like_endpoint_id,
    )
    if alike:
        draft.note(
            "endpoint.fingerprint_shared", endpoint_id=endpoint.endpoint_id, with_endpoint_id=alike[0].endpoint_id
        )
        draft.statements.append(
            attention.raise_alarm(
                Alarm.FINGERPRINT_SHARED,
                endpoint.endpoint_id,
                organization_id=endpoint.organization_id,
                client_group_id=endpoint.client_group_id,
                endpoint_id=endpoint.endpoint_id,
                since_ms=draft.at_ms,
            )
        )
    return draft.save(endpoint)


def _runtime(draft: Draft, token: EnrollmentToken, endpoint: Endpoint, request: EnrollmentRequest) -> Runtime:
    runtime = Runtime(
        runtime_id=draft.new_id(ids.RUNTIME),
        organization_id=token.organization_id,
        endpoint_id=endpoint.endpoint_id,
        public_key=request.public_key,
        journal_id=request.journal_id,
        machine_fingerprint=request.endpoint.machine_fingerprint,
        version=request.runtime_version,
        boot_id=request.endpoint.boot_id,
        enrolled_at_ms=draft.at_ms,
    )
    draft.note(
        "runtime.enrolled",
        endpoint_id=endpoint.endpoint_id,
        runtime_id=runtime.runtime_id,
        token_id=token.token_id,
        public_key=runtime.public_key.hex(),
        journal_id=runtime.journal_id,
        version=runtime.version,
    )
    return draft.save(runtime)
