"""`file_write`: a whole file at once, with what it replaces kept so that it can be put back.

Owns the order of a safe write: keep the former content and sync it, write the new one beside the target, sync, rename,
sync the directory. A reader sees the old file or the new one, and never loses both. Contents stay on the endpoint; what
is reported are digests.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import json
import os
import stat

from caisey.tools.builtin.report import Order, Report, ToolError, change

KEPT_BYTES = 64 * 1024 * 1024
"""The longest former content that is kept; a longer one is not overwritten."""
KEPT_COPIES = 200
KEPT_TOTAL_BYTES = 512 * 1024 * 1024
UNDO_ID_BYTES = 16
NEW_FILE_MODE = 0o644


class Former:
    """What stood there before: nothing (`content` is `None`), or bytes with their permissions and owner."""

    __slots__ = ("content", "gid", "mode", "uid")

    def __init__(self, content: bytes | None, mode: int, uid: int, gid: int) -> None:
        self.content = content
        self.mode = mode
        self.uid = uid
        self.gid = gid

    @property
    def sha256(self) -> str | None:
        """The digest of the content, where there is one."""
        return None if self.content is None else hashlib.sha256(self.content).hexdigest()


def run(order: Order) -> Report:
    """Write, or put back."""
    path = os.path.realpath(order.text("path"))
    former = _former(path)
    _refuse_if_changed(former, order.optional_text("former_sha256"), path)
    undo_id = order.optional_text("undo_id")
    wanted = _kept(order.undo_dir, undo_id, path) if undo_id is not None else _wanted(order, former)
    new_undo_id = _keep(order.undo_dir, path, former)
    if wanted.content is None:
        _remove(path)
    else:
        _replace(path, wanted.content, wanted)
    result = {
        "path": path,
        "bytes": len(wanted.content or b""),
        "sha256": wanted.sha256,
        "former_sha256": former.sha256,
        "undo_id": new_undo_id,
    }
    changes = []
    if former.sha256 != wanted.sha256:
        changes.append(change(f"file {path}", _digest_words(former), _digest_words(wanted)))
    return Report(result, changes, f"{path}: {_digest_words(former)} → {_digest_words(wanted)}")


def _digest_words(state: Former) -> str:
    return "absent" if state.sha256 is None else f"sha256:{state.sha256}"


def _former(path: str) -> Former:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return Former(None, NEW_FILE_MODE, -1, -1)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ToolError("tool.not_a_file", f"{path} is not a regular file.")
        content = file.read(KEPT_BYTES + 1)
    if len(content) > KEPT_BYTES:
        raise ToolError("tool.file_too_large", f"{path} holds over {KEPT_BYTES} bytes, too many to keep for undoing.")
    return Former(content, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def _refuse_if_changed(former: Former, expected: str | None, path: str) -> None:
    if expected is not None and former.sha256 != expected:
        raise ToolError("tool.file_changed", f"{path} is {_digest_words(former)}, not sha256:{expected}.")


def _wanted(order: Order, former: Former) -> Former:
    """The new content, with the permissions of the file it replaces, or those that were asked for a new one."""
    text, data = order.optional_text("text"), order.optional_text("data")
    try:
        content = text.encode() if text is not None else base64.b64decode(data or "", validate=True)
    except binascii.Error:
        raise ToolError("tool.os_error", "The data is not base64.") from None
    mode = former.mode if former.content is not None else int(order.optional_text("mode") or f"{NEW_FILE_MODE:o}", 8)
    return Former(content, mode, former.uid, former.gid)


def _replace(path: str, content: bytes, like: Former) -> None:
    directory, name = os.path.split(path)
    beside = os.path.join(directory, f".{name[:200]}.{os.urandom(8).hex()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if hasattr(os, "fchmod"):
                if like.uid >= 0:
                    os.fchown(descriptor, like.uid, like.gid)
                os.fchmod(descriptor, like.mode)
            os.fsync(descriptor)
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    _sync_directory(directory)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    _sync_directory(os.path.dirname(path))


def _sync_directory(directory: str) -> None:
    if os.name == "nt":
        return  # Windows has no way to sync a directory; renames are in its journal
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------------------------------------
# What was replaced
# ---------------------------------------------------------------------------------------------------------------------


def _keep(undo_dir: str, path: str, former: Former) -> str:
    """Keep what stands there now; the id that brings it back. Synced before anything is replaced."""
    os.makedirs(undo_dir, mode=0o700, exist_ok=True)
    undo_id = os.urandom(UNDO_ID_BYTES).hex()
    record = {
        "path": path,
        "content": None if former.content is None else base64.b64encode(former.content).decode(),
        "mode": former.mode,
        "uid": former.uid,
        "gid": former.gid,
    }
    kept = Former(b"", 0o600, -1, -1)
    _replace(os.path.join(undo_dir, undo_id), json.dumps(record).encode(), kept)
    _forget_oldest(undo_dir)
    return undo_id


def _kept(undo_dir: str, undo_id: str, path: str) -> Former:
    try:
        with open(os.path.join(undo_dir, undo_id), "rb") as file:
            record = json.loads(file.read())
    except FileNotFoundError:
        raise ToolError("tool.undo_unknown", f"Nothing is kept under {undo_id}.") from None
    if record["path"] != path:
        raise ToolError("tool.undo_unknown", f"{undo_id} belongs to another file.")
    content = None if record["content"] is None else base64.b64decode(record["content"])
    return Former(content, record["mode"], record["uid"], record["gid"])


def _forget_oldest(undo_dir: str) -> None:
    """Copies are bounded in number and in size; the newest, just made, always stays."""
    entries = []
    for entry in os.scandir(undo_dir):
        status = entry.stat(follow_symlinks=False)
        entries.append((status.st_mtime_ns, status.st_size, entry.path))
    entries.sort(reverse=True)
    total = 0
    for position, (_, size, path) in enumerate(entries):
        total += size
        if position > 0 and (position >= KEPT_COPIES or total > KEPT_TOTAL_BYTES):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
