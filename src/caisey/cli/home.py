"""The directory of `caisey up`: what lies where, that it is private, and that one `up` at a time has it.

Owns its paths, its lock and `up.json`, by which one invocation knows of another. Starts nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caisey.cli import machine, profiles
from caisey.cli.faults import CliFault

Document = dict[str, Any]


@dataclass(frozen=True)
class Home:
    """The directory of `caisey up`: private, and one at a time."""

    path: Path

    @property
    def control_plane(self) -> Path:
        """The control plane's data directory."""
        return self.path / "control-plane"

    @property
    def runtime(self) -> Path:
        """The runtime's state directory."""
        return self.path / "runtime"

    @property
    def token(self) -> Path:
        """The file with the API token."""
        return self.path / "token"

    @property
    def state(self) -> Path:
        """What the running one says of itself."""
        return self.path / "up.json"

    def make(self) -> None:
        """Make it, or check that it is its owner's alone."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(self.path.stat().st_mode)
        except OSError as error:
            raise CliFault(f"{self.path} cannot be used: {error.strerror or error}", hint="Use --data-dir.") from error
        if mode & 0o077:
            raise CliFault(f"Others may use {self.path}", hint=f"Close it: chmod 700 {self.path}")

    @contextlib.contextmanager
    def held(self) -> Iterator[bool]:
        """Whether it is ours for the block; no where another `caisey up` has it."""
        import fcntl

        descriptor = os.open(self.path / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def known(self) -> Document:
        """What was written last; nothing where there is nothing to read."""
        try:
            document = json.loads(self.state.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}

    def say(self, **fields: Any) -> Document:
        """Write what is so now."""
        document = {**self.known(), **fields}
        profiles.write_private(self.state, json.dumps(document, indent=2) + "\n")
        return document

    def wait_for_the_other(self) -> Document:
        """What the running one says, once it is ready. CliFault where it ends instead, or takes too long."""

        def ready() -> Document | None:
            known = self.known()
            return known if known.get("ready") else None

        def gone() -> bool:
            with self.held() as is_ours:
                return is_ours

        def ready_or_gone() -> Document | str | None:
            return ready() or ("gone" if gone() else None)

        found = machine.wait_until(ready_or_gone, "The other `caisey up`")
        if isinstance(found, str):
            raise CliFault("The other `caisey up` ended", hint=f"Its log: {self.path / 'up.log'}", code="up.ended")
        document: Document = found
        return document
