"""A small disk that can be filled: a tmpfs of its own.

Owns the mount and its end. Where mounting is not permitted the scene is skipped, with that word.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

from tests.chaos.report import SkippedError

SIZE_MIB = 384  # a scene with much output may share it
_FILL = "fill"


class SmallDisk:
    """Mounted at a directory that it makes."""

    def __init__(self, place: Path, size_mib: int = SIZE_MIB) -> None:
        self.place = place
        self._size_mib = size_mib

    def __enter__(self) -> SmallDisk:
        self.place.mkdir(mode=0o700)
        options = f"size={self._size_mib}m,mode=0700"
        try:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "caisey-chaos", str(self.place)],
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise SkippedError("a full disk needs `mount`") from None
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()
            raise SkippedError(f"a full disk needs the permission to mount a tmpfs ({words})")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], capture_output=True, check=True)

    def fill(self, leave: int = 0) -> int:
        """Leaves at most about that many bytes free; how many were taken."""
        block = b"\0" * (1 << 16)
        taken = 0
        descriptor = os.open(self.place / _FILL, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            while True:
                try:
                    taken += os.write(descriptor, block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    if len(block) == 1:
                        break
                    block = block[: len(block) // 16]
            size = os.fstat(descriptor).st_size
            os.ftruncate(descriptor, max(0, size - leave))
        finally:
            os.close(descriptor)
        return taken

    def free(self) -> None:
        """Room again."""
        (self.place / _FILL).unlink(missing_ok=True)
