"""Policies: what one level of an organization sets (RECOVERY.md §6).

Owns reading and replacing one level. The fields, their bounds and how levels fold into one are `core.policy`'s.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from caisey.control.directory.records import PolicyLevel
from caisey.control.directory.store import Directory, Draft
from caisey.core.policy import PolicyFields

Level = Literal["organization", "client_group", "tag", "endpoint"]


def read(directory: Directory, organization_id: str, level: Level, subject: str = "") -> PolicyFields:
    """What that level sets; nothing where nobody has set anything."""
    return directory.policies.get((organization_id, level, subject), PolicyFields())


def put(directory: Directory, draft: Draft, level: Level, subject: str, fields: PolicyFields) -> PolicyFields:
    """That level sets exactly these fields from now on. The caller has checked who may."""
    if fields != read(directory, draft.organization_id, level, subject):
        about = {"endpoint_id": subject} if level == "endpoint" else {}
        draft.note("policy.set", level=level, subject=subject, fields=msgspec.to_builtins(fields), **about)
        draft.save(
            PolicyLevel(
                organization_id=draft.organization_id,
                level=level,
                subject=subject,
                fields=fields,
                updated_at_ms=draft.at_ms,
            )
        )
    return fields
