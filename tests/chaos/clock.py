"""A wall clock that can be set while the programs run: libfaketime, preloaded, told by a file.

Owns the file and what the library leaves behind. Only the wall clock is moved; the monotonic ones run on, as they do
when somebody sets a computer's clock.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from tests.chaos.report import SkippedError

LOOKED_AT_EVERY_S = 1
"""How long a program may go on with what the file said before."""

MOST_SWITCHES = 1000
"""Of two threads that want the interpreter for a fifth of a second: some 130, and 9,000 where waits end at once."""

_TWO_THREADS = """
import resource, threading, time
def want(until=time.monotonic() + 0.2):
    while time.monotonic() < until:
        pass
threads = [threading.Thread(target=want) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw)
"""


class FakeClock:
    """The clock of one computer. Without `preload` it is the machine's own and cannot be set."""

    def __init__(self, file: Path, *, preload: bool) -> None:
        self._file = file
        self.environment: dict[str, str] = {}
        self._before = _left_behind()
        if preload:
            self.set(0)
            self.environment = {
                "LD_PRELOAD": str(_library()),
                "FAKETIME_TIMESTAMP_FILE": str(file),
                "FAKETIME_CACHE_DURATION": str(LOOKED_AT_EVERY_S),
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                # Else the library ends each wait for Python's interpreter lock at once, and threads that wait for one
                # another take whole cores: the programs, and every test beside them, would be measured by that.
                "FAKETIME_FORCE_MONOTONIC_FIX": "0",
                "NO_FAKE_STAT": "1",
            }
            self._check()

    def set(self, offset_s: int) -> None:
        """So far from the machine's own clock, from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset_s:+d}\n")
        new.replace(self._file)

    def clean(self) -> None:
        """The library's shared memory of processes that were killed."""
        if self.environment:
            for left in _left_behind() - self._before:
                if not Path(f"/proc/{left.name.rpartition('_')[2]}").exists():
                    left.unlink(missing_ok=True)

    def _check(self) -> None:
        """That the wall clock moves and the others do not: else nothing that follows proves anything."""
        code = "import time; print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
        self.set(86_400)
        moved = self._ask(code)
        self.set(0)
        there = self._ask(code)
        if not (
            86_000 < moved[0] - there[0] < 87_000
            and all(abs(a - b) < 60 for a, b in zip(moved[1:], there[1:], strict=True))
        ):
            raise SkippedError("libfaketime does not move the clocks of this Python")
        switches = self._ask(_TWO_THREADS)[0]
        if switches > MOST_SWITCHES:
            raise SkippedError(f"libfaketime lets waiting threads spin: {switches:.0f} switches in a fifth of a second")

    def _ask(self, code: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **self.environment},
            capture_output=True,
            check=False,
            text=True,
        )
        with contextlib.suppress(ValueError):
            found = [float(word) for word in done.stdout.split()]
            if found:
                return found
        raise SkippedError(f"libfaketime cannot be loaded here ({done.stderr.strip()[-200:]})")


def _library() -> Path:
    """The shared library inside the package; the package itself, which patches the tests' own process, is not used."""
    found = importlib.util.find_spec("libfaketime")
    if found is None or found.origin is None:
        raise SkippedError("clock steps need the package libfaketime")
    library = Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    if not library.exists():
        raise SkippedError("clock steps need Linux: libfaketime has no library for this system")
    return library


def _left_behind() -> set[Path]:
    return set(Path("/dev/shm").glob("*faketime*")) if Path("/dev/shm").is_dir() else set()
