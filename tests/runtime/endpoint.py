"""A real runtime process for tests: its state directory, its life, and its death by kill -9.

Owns what it starts: every process below a test's directory is ended with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from caisey.runtime.shim.marks import CONTROL
from caisey.runtime.state import Enrolled, StateDirectory
from tests.runtime.plane import PATIENCE_S, Link, Plane

ROOT = Path(__file__).resolve().parents[2]


class Endpoint:
    """One runtime on one endpoint, enrolled at a plane."""

    def __init__(self, plane: Plane, folder: Path, runtime_id: str = "rtm_1", journal: Path | None = None) -> None:
        self.plane = plane
        self.state = StateDirectory(folder)
        self.state.make()
        self.journal = journal or folder / "journal"
        key = self.state.private_key_or_new(Ed25519PrivateKey.generate().private_bytes_raw())
        plane.runtimes[runtime_id] = key.public_key().public_bytes_raw()
        self.state.keep(
            Enrolled(
                url=plane.url, runtime_id=runtime_id, endpoint_id="ept_1", organization="org_1", client_group=None,
                control_plane_keys=(plane.public,), journal_dir=str(self.journal),
            )
        )  # fmt: skip
        self.process: asyncio.subprocess.Process | None = None
        self._log = (folder / "log").open("ab")

    async def start(self, *, prefix: Sequence[str] = (), module: Sequence[str] = ("caisey.runtime", "run"),
                    environment: dict[str, str] | None = None, bridge: str = "websocket") -> None:  # fmt: skip
        self.process = await asyncio.create_subprocess_exec(
            *prefix, sys.executable, "-m", *module, "--state-dir", str(self.state.path), "--bridge", bridge,
            env={**os.environ, **(environment or {})}, cwd=ROOT,
            stderr=self._log,
        )  # fmt: skip

    async def connect(self) -> Link:
        """Start it and wait for its connection."""
        await self.start()
        return await self.plane.link()

    async def kill(self) -> None:
        """kill -9, as a crash."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.kill()
        await self.ended()

    async def terminate(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        assert self.process is not None
        async with asyncio.timeout(PATIENCE_S):
            code = await self.process.wait()
        log = (self.state.path / "log").read_text()
        assert "Traceback" not in log, log
        return code

    async def restart(self) -> Link:
        """Crash and come back."""
        await self.kill()
        return await self.connect()


def shims(journal: Path) -> list[int]:
    """Every process that has a folder of that journal's spool as its working directory: shims."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if where.startswith(str(journal / "spool") + "/"):
                found.append(int(entry.name))
    return found


def end_everything(journal: Path) -> None:
    """End the shims and their commands at once, as a loss of power does: nobody gets to write anything down."""
    for pid in shims(journal):
        for victim, number in ((pid, signal.SIGSTOP), *((child, signal.SIGKILL) for child in children(pid))):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


@asynccontextmanager
async def endpoint(plane: Plane, folder: Path, runtime_id: str = "rtm_1", journal: Path | None = None
                   ) -> AsyncIterator[Endpoint]:  # fmt: skip
    """A runtime that is enrolled and not started; whatever it started is gone afterwards."""
    made = Endpoint(plane, folder, runtime_id, journal)
    try:
        yield made
    finally:
        if made.process is not None and made.process.returncode is None:
            made.process.kill()
            await made.process.wait()
        made._log.close()
        end_everything(made.journal)


def control_socket(journal: Path) -> bool:
    return any(path.name == CONTROL for path in (journal / "spool").glob("*/*"))
