"""What is done with a data directory on its own machine, without a login (API.md, last section).

Owns the way there: the control plane that runs does it, asked through its socket; else this process, under the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import msgspec

from caisey.control import local_admin
from caisey.control.clock import SystemClock
from caisey.control.directory import organizations
from caisey.control.directory.store import Directory
from caisey.control.roles import Role
from caisey.storage.contract import DataDirectoryInUse
from caisey.storage.data_directory import DataDirectory
from caisey.storage.sqlite.log import SqliteLog

OTHER_PROCESS_WITHIN_S: Final = 15.0
"""How long a local command waits for a control plane that starts or ends."""


def create_organization(data_dir: Path, name: str) -> dict[str, Any]:
    """`{"id", "name"}`. Raises `Fault`, `StorageError`; ValueError for a name that does not fit."""
    return _locally(data_dir, _checked(local_admin.CreateOrganization, name=name))


def list_organizations(data_dir: Path) -> dict[str, Any]:
    """`{"items": [{"id", "name"}]}`. Raises as `create_organization`."""
    return _locally(data_dir, local_admin.ListOrganizations())


def create_token(
    data_dir: Path,
    organization: str,
    role: str | Role,
    *,
    name: str = "",
    client_group_ids: Iterable[str] | None = None,
    expires_in_s: float | None = None,
) -> dict[str, Any]:
    """`{"id", "token", "organization", "organization_id", "role"}`. Raises as `create_organization`."""
    return _locally(
        data_dir,
        _checked(
            local_admin.CreateToken,
            organization=organization,
            role=role,
            name=name,
            client_group_ids=None if client_group_ids is None else tuple(client_group_ids),
            expires_in_s=expires_in_s,
        ),
    )


def create_set_up_link(data_dir: Path, organization: str) -> dict[str, Any]:
    """`{"path", "expires_at_ms", "address"}`, the last null where no control plane runs. As `create_organization`."""
    made = _locally(data_dir, _checked(local_admin.CreateSetUpLink, organization=organization))
    return {"address": None, **made}


def _checked(kind: type[local_admin.Request], **fields: Any) -> local_admin.Request:
    """The request, within its bounds: msgspec checks those when it decodes."""
    document = {"do": kind.__struct_config__.tag, **fields}
    return msgspec.convert(document, local_admin.Request)  # type: ignore[no-any-return]  # a union of structs


def _locally(data_dir: Path, request: local_admin.Request) -> dict[str, Any]:
    return asyncio.run(_through_socket_or_lock(data_dir, request))


async def _through_socket_or_lock(data_dir: Path, request: local_admin.Request) -> dict[str, Any]:
    """Whoever has the data directory does it: the control plane that runs, else this process, for a moment."""
    async with asyncio.timeout(OTHER_PROCESS_WITHIN_S):
        while True:
            with contextlib.suppress(OSError):
                return await local_admin.ask(data_dir, request)
            try:
                held = DataDirectory(data_dir)
            except DataDirectoryInUse:
                await asyncio.sleep(0.05)  # it starts, or ends
                continue
            with held:
                return await _by_this_process(held, request)


async def _by_this_process(held: DataDirectory, request: local_admin.Request) -> dict[str, Any]:
    log = await SqliteLog.open(held.database)
    try:
        directory = Directory(log, SystemClock())
        await directory.refresh()
        await organizations.ensure_default(directory)
        return await local_admin.carry_out(directory, request)
    finally:
        await log.close()
