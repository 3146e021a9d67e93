"""Organizations: tenants, each with its own chain of events.

Owns their creation. Only a person on the control plane's own machine makes one.
"""

from __future__ import annotations

from typing import Final

from caisey.control.directory.records import Organization
from caisey.control.directory.store import Directory, Draft
from caisey.core import ids
from caisey.core.errors import Fault
from caisey.core.events import Actor

DEFAULT_NAME: Final = "default"
NAME_LENGTH: Final = 128
LOCAL: Final = Actor("control_plane", "local_admin")
"""Somebody with access to the data directory itself."""


async def create(directory: Directory, name: str) -> Organization:
    """A new tenant. Raises `organization.name_taken`; the caller has bounded `name`."""
    organization_id = Draft.new_id(ids.ORGANIZATION)
    async with directory.changing(organization_id, LOCAL) as draft:
        if directory.organization_named(name) is not None:
            raise Fault("organization.name_taken")
        draft.note("organization.created", name=name)
        organization = Organization(organization_id=organization_id, name=name, created_at_ms=draft.at_ms)
        draft.save(organization)
    return organization


async def ensure_default(directory: Directory) -> None:
    """A new data directory has the organization `default` (API.md)."""
    if not directory.organizations:
        await create(directory, DEFAULT_NAME)
