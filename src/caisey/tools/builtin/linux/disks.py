"""File systems on Linux, from the mount table of this process.

Owns which mounts are worth showing: those that hold data. File systems over the network are named without being asked,
since a server that is gone would hold the question for ever; asked for by path, they are.
"""

from __future__ import annotations

import os

from caisey.tools.builtin.report import Row

MOUNT_TABLE = "/proc/self/mountinfo"
# fmt: off
_PSEUDO = frozenset(
    {
        "autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
        "efivarfs", "fuse.gvfsd-fuse", "fuse.portal", "fuse.lxcfs", "fusectl", "hugetlbfs", "mqueue", "nsfs",
        "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "squashfs", "sysfs", "tmpfs",
        "tracefs",
    }
)
_REMOTE = frozenset(
    {
        "9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.sshfs", "ncpfs", "nfs", "nfs4", "smb3", "smbfs",
        "virtiofs",
    }
)
# fmt: on
_ESCAPES = ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\"))


class Mount:
    """One line of the mount table."""

    __slots__ = ("device", "kind", "number", "point")

    def __init__(self, point: str, device: str, kind: str, number: str) -> None:
        self.point = point
        self.device = device
        self.kind = kind
        self.number = number


def parse_mounts(table: str) -> list[Mount]:
    """Read the mount table (proc(5), mountinfo); lines that are not as described are passed over."""
    mounts = []
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if dash and len(fields) >= 5 and len(rest) >= 2:
            mounts.append(Mount(_plain(fields[4]), _plain(rest[1]), rest[0], fields[2]))
    return mounts


def worth_showing(mounts: list[Mount]) -> list[Mount]:
    """What holds data, each file system once, at its shortest mount point; what is mounted over is hidden."""
    visible = {mount.point: mount for mount in mounts}
    shown: dict[str, Mount] = {}
    for mount in sorted(visible.values(), key=lambda mount: (len(mount.point), mount.point)):
        if mount.point == "/" or mount.kind not in _PSEUDO:
            shown.setdefault(mount.number if mount.kind not in _REMOTE else mount.point, mount)
    return list(shown.values())


def filesystems(path: str | None) -> list[Row]:
    """The rows of `disk_usage`: all that is worth showing, or the one that holds a path."""
    with open(MOUNT_TABLE, encoding="utf-8", errors="surrogateescape") as file:
        mounts = parse_mounts(file.read())
    if path is not None:
        real = os.path.realpath(path)
        os.stat(real)
        holding = [mount for mount in mounts if _holds(mount.point, real)]
        return [_row(max(holding, key=lambda mount: len(mount.point)))] if holding else []
    return [_row(mount) for mount in worth_showing(mounts) if mount.kind not in _REMOTE or mount.point == "/"]


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _row(mount: Mount) -> Row:
    room = os.statvfs(mount.point)
    return {
        "mount": mount.point,
        "device": mount.device,
        "total_bytes": room.f_blocks * room.f_frsize,
        "free_bytes": room.f_bavail * room.f_frsize,
        "type": mount.kind,
        "files_total": room.f_files,
        "files_free": room.f_favail,
    }


def _plain(text: str) -> str:
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    return text
