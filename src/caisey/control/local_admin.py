"""What somebody with access to the data directory may do without a login (API.md, last section).

Owns the operations (make an organization, a token, a set-up link), the 0600 socket through which a running control
plane does them, and its one-line protocol: one JSON request, one JSON answer. The other end has to be the same user, or
root.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import structlog
from msgspec import Meta

from caisey.control.directory import member_links, organizations, tokens
from caisey.control.directory.organizations import LOCAL, NAME_LENGTH
from caisey.control.directory.records import Organization
from caisey.control.directory.store import Directory
from caisey.control.roles import Role
from caisey.core.errors import Fault

logger = structlog.get_logger(__name__)

SOCKET: Final = "admin.sock"
LINE_BYTES: Final = 64 * 1024
ANSWER_WITHIN_S: Final = 30.0
_SOCKET_MODE: Final = 0o600
_LONGEST_ADDRESS: Final = 100
_NOT_BLANK: Final = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$(?!\n)"

Name = Annotated[str, Meta(min_length=1, max_length=NAME_LENGTH, pattern=_NOT_BLANK)]


class CreateOrganization(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="organizations.create"):
    """A new tenant."""

    name: Name


class ListOrganizations(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="organizations.list"):
    """All tenants, by name."""


class CreateToken(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="tokens.create"):
    """A new API token of the organization with that name."""

    organization: Name
    role: Role
    name: Annotated[str, Meta(max_length=NAME_LENGTH)] = ""
    client_group_ids: tuple[str, ...] | None = None
    expires_in_s: Annotated[float, Meta(gt=0, le=3_660 * 86_400)] | None = None


class CreateSetUpLink(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", tag="members.set_up_link"):
    """A one-time link that makes an owner of the organization with that name."""

    organization: Name


Request = CreateOrganization | ListOrganizations | CreateToken | CreateSetUpLink


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="refused"):
    """Why not."""

    code: str
    detail: str


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="done"):
    """What was made."""

    result: dict[str, Any]


_ANSWER: Final = msgspec.json.Decoder(Refused | Done)
_REQUEST: Final = msgspec.json.Decoder(Request)


async def carry_out(directory: Directory, request: Request) -> dict[str, Any]:
    """Do it. Raises `Fault`."""
    match request:
        case CreateOrganization():
            made = await organizations.create(directory, request.name)
            return {"id": made.organization_id, "name": made.name}
        case ListOrganizations():
            found = sorted(directory.organizations.values(), key=lambda one: one.name)
            return {"items": [{"id": one.organization_id, "name": one.name} for one in found]}
        case CreateToken():
            return await _create_token(directory, request)
        case CreateSetUpLink():
            return await set_up_link(directory, request.organization)


async def set_up_link(directory: Directory, organization_name: str) -> dict[str, Any]:
    """`{"path", "expires_at_ms"}`; former links of that kind are over. Raises `resource.not_found`."""
    organization = _organization(directory, organization_name)
    async with directory.changing(organization.organization_id, LOCAL) as draft:
        link, text = member_links.make(directory, draft, "set_up")
    return {"path": f"{member_links.PATHS[link.kind]}{text}", "expires_at_ms": link.expires_at_ms}


def _organization(directory: Directory, name: str) -> Organization:
    found = directory.organization_named(name)
    if found is None:
        raise Fault("resource.not_found", f"There is no organization {name!r}.")
    return found


async def _create_token(directory: Directory, request: CreateToken) -> dict[str, Any]:
    organization = _organization(directory, request.organization)
    known = {group.client_group_id for group in directory.groups_of(organization.organization_id)}
    unknown = sorted(set(request.client_group_ids or ()) - known)
    if unknown:
        raise Fault("resource.not_found", f"There is no client group {unknown[0]!r}.")
    async with directory.changing(organization.organization_id, LOCAL) as draft:
        token, text = tokens.make(
            draft,
            role=request.role,
            name=request.name,
            groups=request.client_group_ids,
            expires_in_s=request.expires_in_s,
        )
    return {
        "id": token.token_id,
        "token": text,
        "organization": organization.name,
        "organization_id": organization.organization_id,
        "role": token.role.value,
    }


# -- the socket ----------------------------------------------------------------------------------------------------


async def listen(data_dir: Path, directory: Directory, address: Callable[[], str | None]) -> asyncio.Server:
    """Serve the socket. The caller holds the data directory's lock: a socket that is there is a dead process's.

    `address` says where people reach the console, once that is known; paths are answered with it.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await _serve_one(directory, address, reader, writer)
        except (TimeoutError, OSError, ValueError) as error:
            logger.warning("local_admin.failed", error=type(error).__name__)
        finally:
            writer.close()

    (data_dir / SOCKET).unlink(missing_ok=True)
    with _address(data_dir) as place:
        server = await asyncio.start_unix_server(serve, place, limit=LINE_BYTES)
    (data_dir / SOCKET).chmod(_SOCKET_MODE)
    return server


async def _serve_one(
    directory: Directory,
    address: Callable[[], str | None],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    if not may_ask(writer.get_extra_info("socket")):
        return
    answer: Refused | Done
    try:
        request = _REQUEST.decode(await reader.readline())
        result = await carry_out(directory, request)
        if "path" in result:
            result["address"] = address()
        answer = Done(result=result)
    except Fault as fault:
        answer = Refused(code=fault.code, detail=fault.detail or fault.title)
    except msgspec.DecodeError as error:
        answer = Refused(code="request.invalid_shape", detail=str(error))
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


def may_ask(connection: Any) -> bool:
    """The same user, or root. Where the system does not tell, the mode of the socket and of its directory decides."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return user in (0, os.geteuid())


async def ask(data_dir: Path, request: Request) -> dict[str, Any]:
    """Let the running control plane do it. Raises `OSError` where none listens, `Fault` where it refuses."""
    with _address(data_dir) as address:
        reader, writer = await asyncio.open_unix_connection(address, limit=LINE_BYTES)
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        await writer.drain()
        async with asyncio.timeout(ANSWER_WITHIN_S):
            line = await reader.readline()
    finally:
        writer.close()
    if not line:
        raise ConnectionResetError("the control plane closed the socket without an answer")
    answer: Refused | Done = _ANSWER.decode(line)
    if isinstance(answer, Refused):
        raise Fault(answer.code, answer.detail)
    return answer.result


@contextlib.contextmanager
def _address(data_dir: Path) -> Iterator[str]:
    """Where the socket stands. Addresses are short: a long path goes by the directory's descriptor, on Linux."""
    path = data_dir / SOCKET
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS or not Path("/proc/self/fd").is_dir():
        yield str(path)
        return
    descriptor = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)
