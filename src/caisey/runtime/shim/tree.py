"""Ending a command and all it started: politely, then for good, then looking whether it worked.

Owns the order and the times of the signals. The platform owns how a tree is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Final

from caisey.runtime.platforms import Platform, Tree

POLITE_MS: Final = 2_000
"""From SIGTERM to SIGKILL."""
STUBBORN_MS: Final = 5_000
"""From the first SIGKILL until we say that the tree did not end."""
AGAIN_MS: Final = 50


class Ending:
    """One process tree that is being ended. Call `step` at `due_ms` and after every child that was reaped."""

    def __init__(self, platform: Platform, tree: Tree, now_ms: int) -> None:
        self._platform = platform
        self._tree = tree
        self._kill_ms = now_ms + POLITE_MS
        self._give_up_ms = self._kill_ms + STUBBORN_MS
        self.due_ms = now_ms + AGAIN_MS
        for pid in platform.descendants(tree):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)  # a stopped process cannot hear SIGTERM

    def step(self, now_ms: int) -> bool | None:
        """True: all of it has ended. False: it will not. `None`: ask again at `due_ms`."""
        if not self._platform.descendants(self._tree):
            return True
        if now_ms >= self._kill_ms:
            self._platform.end_tree(self._tree)
        if now_ms >= self._give_up_ms:
            return not self._platform.descendants(self._tree)
        self.due_ms = now_ms + AGAIN_MS
        return None
