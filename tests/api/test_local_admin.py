"""What the owner of the data directory does without a login: through the socket, or under the lock."""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from caisey import wiring
from caisey.control import local_admin
from caisey.core.errors import Fault
from caisey.storage.contract import DataDirectoryUnsafe
from caisey.storage.data_directory import DataDirectory
from tests.api.plane import Plane


def test_a_new_data_directory_has_the_organization_default(tmp_path: Path) -> None:
    assert [one["name"] for one in wiring.list_organizations(tmp_path / "data")["items"]] == ["default"]


def test_under_the_lock_and_through_the_socket(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    before = wiring.create_organization(plane.data_dir, "before")
    token = wiring.create_token(plane.data_dir, "before", "owner", name="first")["token"]
    plane.start()
    during = wiring.create_organization(plane.data_dir, "during")
    assert plane.client(token).get("/tokens")["items"][0]["name"] == "first"
    assert plane.api("viewer", "during").get("/endpoints")["items"] == []
    plane.stop()
    found = wiring.list_organizations(plane.data_dir)["items"]
    assert found == [
        {"id": before["id"], "name": "before"},
        {"id": found[1]["id"], "name": "default"},
        {"id": during["id"], "name": "during"},
    ]


def test_the_socket_is_private_and_goes_with_the_process(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane().start()
    path = plane.data_dir / local_admin.SOCKET
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(plane.data_dir.stat().st_mode) == 0o700
    plane.stop()
    assert not path.exists()


def test_a_socket_of_a_dead_process_stands_in_nobodys_way(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    wiring.list_organizations(plane.data_dir)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(plane.data_dir / local_admin.SOCKET))
    assert wiring.create_token(plane.data_dir, "default", "viewer")["token"]
    plane.start()
    assert wiring.create_token(plane.data_dir, "default", "viewer")["token"]


def test_a_long_path(tmp_path: Path) -> None:
    """The address of a socket has 108 bytes at most; the data directory may stand deeper."""
    plane = Plane(tmp_path / ("d" * 100) / ("e" * 100) / "data")
    plane.start()
    try:
        assert wiring.create_token(plane.data_dir, "default", "viewer")["token"]
    finally:
        plane.stop()


def test_what_is_refused(new_plane: Callable[..., Plane]) -> None:
    plane = new_plane()
    for _ in range(2):  # under the lock, then through the socket: the same words
        with pytest.raises(Fault, match=r"organization\.name_taken"):
            wiring.create_organization(plane.data_dir, "default")
        with pytest.raises(Fault, match=r"resource\.not_found"):
            wiring.create_token(plane.data_dir, "nobody", "owner")
        with pytest.raises(Fault, match=r"resource\.not_found"):
            wiring.create_token(plane.data_dir, "default", "owner", client_group_ids=["grp_unknown"])
        with pytest.raises(msgspec.ValidationError):
            wiring.create_token(plane.data_dir, "default", "emperor")
        with pytest.raises(msgspec.ValidationError):
            wiring.create_organization(plane.data_dir, " \n")
        if not plane.url:
            plane.start()


def test_a_directory_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir(mode=0o755)
    with pytest.raises(DataDirectoryUnsafe, match="chmod 700"):
        wiring.create_token(path, "default", "owner")


def test_it_waits_for_who_is_just_starting_or_ending(tmp_path: Path) -> None:
    path = tmp_path / "data"
    made: list[str] = []
    with DataDirectory(path):
        thread = threading.Thread(target=lambda: made.append(wiring.create_token(path, "default", "viewer")["token"]))
        thread.start()
        thread.join(0.2)
        assert made == [], "the lock is held"
    thread.join(10)
    assert made


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"do":"tokens.create","organization":"default"}\n', b"\n"])
def test_nonsense_through_the_socket(new_plane: Callable[..., Plane], line: bytes) -> None:
    plane = new_plane().start()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(plane.data_dir / local_admin.SOCKET))
        connection.sendall(line)
        assert b'"refused"' in connection.recv(4096)
    assert wiring.list_organizations(plane.data_dir)["items"]


class FromUser:
    """A connection whose other end is another user's."""

    def __init__(self, user: int) -> None:
        self._user = user

    def getsockopt(self, level: int, option: int, length: int) -> bytes:
        assert (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED)
        return struct.pack("3i", 1, self._user, 1)[:length]


def test_only_the_owner_and_root_may_ask() -> None:
    assert local_admin.may_ask(FromUser(os.geteuid()))
    assert local_admin.may_ask(FromUser(0))
    assert not local_admin.may_ask(FromUser(os.geteuid() + 1000))
